import { useContext, useEffect, useState } from 'preact/hooks';
import type { FleetCamera } from '../../../src/pool/fleet.js';
import { Connection } from '../connection.js';
import { labelsOf, nodesOf, type Row, rowsOf, troubleOf } from '../fleet.js';
import { PageContext, useNow } from '../hooks.js';
import { Model } from '../model.js';
import { Badge } from '../parts/badge.js';
import { durationWords } from '../words.js';

/** All nodes of the broker, as their retained topics tell them; drawn once a second however many speak. */
export function FleetView() {
  const { model: own } = useContext(PageContext);
  const now = useNow();
  const [fleet] = useState(() => new Model());
  const [words, setWords] = useState('');
  const [label, setLabel] = useState('');
  useEffect(() => {
    const connection = new Connection(fleet, 'api/fleet');
    connection.open();
    return () => connection.close();
  }, [fleet]);
  const { topics } = fleet;
  const nodes = nodesOf(topics);
  const rows = rowsOf(topics, { words, label }, now);
  const labels = [...new Set(nodes.flatMap(labelsOf))].sort();
  const [online, needy] = [nodes.filter((node) => node.online).length, rows.filter(({ needs }) => needs.length > 0).length];
  const trouble = troubleOf(topics);
  return (
    <section class="card" aria-labelledby="fleet">
      <header>
        <h1 id="fleet">Fleet</h1>
        <Badge kind={online === nodes.length ? 'good' : 'bad'}>
          {online} of {nodes.length} online
        </Badge>
      </header>
      {trouble === undefined && <p class="soft">Asking the broker …</p>}
      {typeof trouble === 'string' && (
        <p class="trouble">
          The broker cannot be asked: {trouble}.{nodes.length > 0 && ' Below is what it said last.'}
        </p>
      )}
      {trouble === null && nodes.every(({ node }) => node === own.hello?.node) && (
        <p>
          The broker tells of no other node: there is none, or its access list does not let this one read <code>mipha/v1/+/info</code>,{' '}
          <code>health</code>, <code>availability</code> and <code>alert/+</code>.
        </p>
      )}
      <div class="fields">
        <p>
          <label for="words">Search</label>
          <input
            id="words"
            type="search"
            placeholder="name, label, version, model"
            value={words}
            onInput={({ currentTarget }) => setWords(currentTarget.value)}
          />
        </p>
        <p>
          <label for="label">Label</label>
          <select id="label" value={label} onChange={({ currentTarget }) => setLabel(currentTarget.value)}>
            <option value="">any</option>
            {labels.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </p>
      </div>
      <p role="status" class="soft">
        {rows.length} of {nodes.length} shown, {needy} of them {needy === 1 ? 'needs' : 'need'} somebody; these come first.
      </p>
      <ul class="fleet">
        {rows.map((row) => (
          <NodeRow key={row.node.node} row={row} now={now} />
        ))}
      </ul>
    </section>
  );
}

function NodeRow({ row: { node, needs }, now }: { row: Row; now: number }) {
  const { queue, version, model, backend, watches, overrides, cameras, healthAt, uptimeS } = node;
  const facts = [
    version ?? 'version not known',
    ...(model === null || model.id === '' ? [] : [`${model.id}@${model.rev}${backend === null ? '' : ` on ${backend}`}`]),
    `${watches} ${watches === 1 ? 'watch' : 'watches'}`,
    ...(queue === null || !node.online ? [] : [`queue ${queue.waiting} of ${queue.limit}`]),
    ...(overrides === 0 ? [] : [`${overrides} changed over MQTT`]),
    ...(node.online && uptimeS !== null ? [`up ${durationWords(uptimeS * 1000)}`] : []),
    ...(healthAt === null ? [] : [`told ${durationWords(now - Date.parse(healthAt))} ago`]),
  ];
  return (
    <li data-node={node.node}>
      <h2>{node.node}</h2>
      <p class="states">
        {needs.length === 0 && <Badge kind="good">Well</Badge>}
        {needs.map(({ kind, words }) => (
          <Badge key={words} kind={kind}>
            {words}
          </Badge>
        ))}
      </p>
      {labelsOf(node).length > 0 && <p class="soft">{labelsOf(node).join(', ')}</p>}
      <p>{facts.join(' · ')}</p>
      {cameras.length > 0 && (
        <p class="soft">
          {node.online ? '' : 'Last said: '}
          {cameras.map(cameraWords).join(' · ')}
        </p>
      )}
    </li>
  );
}

function cameraWords({ id, state, frameAgeMs, fps }: FleetCamera): string {
  return `${id} ${state}${frameAgeMs === null ? '' : `, frame ${durationWords(frameAgeMs)} old`}, ${fps.toFixed(1)} a second`;
}
