import { useEffect, useState } from 'preact/hooks';
import type { Health } from '../../../src/mqtt/messages.js';
import type { Setting } from '../../../src/page/node.js';
import type { ConfigIssue } from '../../../src/service/config/issues.js';
import { get, post, type Refused, request } from '../api.js';
import { useNow, usePage } from '../hooks.js';
import { Badge, type BadgeKind } from '../parts/badge.js';
import { Chart } from '../parts/chart.js';
import { Happenings } from '../parts/happenings.js';
import { Scroll } from '../parts/scroll.js';
import { bytesWords, durationWords, percent, timeWords } from '../words.js';

const LIFE: Record<string, BadgeKind> = { running: 'good', degraded: 'warn', starting: 'idle', stopping: 'warn' };

function powerWords({ mode, watts, joules_per_answer: joules, throttled }: Health['power']): string {
  const known = [
    watts !== null && `${watts.toFixed(1)} W`,
    joules !== null && `${joules.toFixed(joules < 10 ? 1 : 0)} J an answer`,
    mode !== null && `mode ${mode}`,
    throttled !== null && (throttled.length === 0 ? 'not throttled' : `throttled: ${throttled.join(', ')}`),
  ].filter((words) => words !== false);
  return known.length === 0 ? 'no sensor' : known.join(', ');
}

export function NodeView() {
  const { model } = usePage();
  const now = useNow();
  const { health, info, alerts, log, healths } = model;
  if (health === null || info === null) return <p class="soft">Nothing is known of this node yet.</p>;
  const { engine, queue, latency_ms: latency, memory, mqtt, recorder, temperature_c, power } = health;
  const temperatures = Object.entries(temperature_c);
  const rows: [string, string][] = [
    ['Version', `${info.version}, up ${durationWords(health.uptime_s * 1000)}`],
    ['Model', `${info.models.map(({ id }) => id).join(', ')} on ${engine.backend ?? 'nothing'}, ${bytesWords(engine.memory_bytes)}`],
    ['Engine busy', percent(engine.busy_ratio)],
    [
      'From picture to answer',
      latency === null ? 'no answer yet' : `${Math.round(latency.p50)} ms, of a hundred the slowest five above ${Math.round(latency.p95)} ms`,
    ],
    ['Questions waiting', `${queue.waiting} of ${queue.limit}, ${queue.rejected} refused`],
    ['Memory', bytesWords(memory.rss_bytes)],
    ['Temperature', temperatures.length === 0 ? 'no sensor' : temperatures.map(([name, degrees]) => `${name} ${Math.round(degrees)} °C`).join(', ')],
    ['Power', powerWords(power)],
    ['Broker', `${mqtt.connected ? 'connected' : 'away'}, ${mqtt.published} messages, ${mqtt.reconnects} reconnects, ${mqtt.queued} waiting`],
    ['Record', recorder === null ? 'nothing is recorded' : `${bytesWords(recorder.bytes)} in ${recorder.segments} segments`],
    ['Clock', health.clock_synced === null ? 'not known' : health.clock_synced ? 'set by a time server' : 'not set by a time server'],
  ];
  return (
    <>
      <section class="card" aria-labelledby="node">
        <header>
          <h1 id="node">{info.node}</h1>
          <Badge kind={LIFE[health.lifecycle] ?? 'idle'}>{health.lifecycle}</Badge>
        </header>
        {alerts.map(({ id, ts, message }) => (
          <p key={id} class="trouble">
            <Badge kind="bad">{id}</Badge> since {timeWords(ts, now)}: {message}
          </p>
        ))}
        <dl class="facts">
          {rows.map(([name, words]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
        {healths.length > 1 && (
          <Chart
            title="From picture to answer"
            times={healths.map(({ at }) => at)}
            curves={[
              { label: 'median', values: healths.map(({ p50 }) => p50), words: ms, color: 'one' },
              { label: 'slowest five of a hundred above', values: healths.map(({ p95 }) => p95), words: ms, color: 'two' },
            ]}
          />
        )}
      </section>
      <Drops />
      <section class="card" aria-labelledby="log">
        <h2 id="log">Warnings</h2>
        {log.length === 0 && <p class="soft">None since the node started.</p>}
        <ol class="log">
          {log.slice(0, 50).map(({ ts, level, ns, msg, count }, i) => (
            <li key={`${ts} ${i}`}>
              <time dateTime={ts}>{timeWords(ts, now)}</time> <b>{level}</b> {ns}: {msg}
              {count > 1 && ` (${count} times)`}
            </li>
          ))}
        </ol>
        <h3>What happened</h3>
        <Happenings events={model.events.filter(({ topic }) => topic === 'event').slice(0, 20)} now={now} />
      </section>
      <Configuration />
    </>
  );
}

function ms(value: number | null): string {
  return value === null ? '' : `${Math.round(value)} ms`;
}

/** What was lost, by place and reason: only what there is any of. */
function Drops() {
  const { model } = usePage();
  const { health } = model;
  if (health === null) return null;
  const counts: [string, string, number][] = [
    ...Object.entries(health.cameras).flatMap(([id, { dropped }]) =>
      Object.entries(dropped).map(([reason, count]): [string, string, number] => [`frames of ${id}`, reason, count]),
    ),
    ...Object.entries(health.cameras).flatMap(([id, { skipped }]) =>
      Object.entries(skipped).map(([reason, count]): [string, string, number] => [`not asked about, ${id}`, reason, count]),
    ),
    ...Object.entries(health.watches).flatMap(([id, { suppressed }]) =>
      Object.entries(suppressed).map(([reason, count]): [string, string, number] => [`events of ${id} not told`, reason, count]),
    ),
    ...Object.entries(health.mqtt.dropped).map(([reason, count]): [string, string, number] => ['messages', reason, count]),
    ...Object.entries(health.mqtt.pictures.dropped).map(([reason, count]): [string, string, number] => ['pictures of events', reason, count]),
    ...Object.entries(health.recorder?.lost ?? {}).map(([reason, { frames, lines }]): [string, string, number] => [
      'not recorded',
      reason,
      frames + lines,
    ]),
  ];
  const some = counts.filter(([, , count]) => count > 0);
  return (
    <section class="card" aria-labelledby="drops">
      <h2 id="drops">What was left out</h2>
      {some.length === 0 ? (
        <p class="soft">Nothing.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Why</th>
              <th scope="col" class="count">
                How many
              </th>
            </tr>
          </thead>
          <tbody>
            {some.map(([what, reason, count]) => (
              <tr key={`${what} ${reason}`}>
                <td>{what}</td>
                <td>{reason}</td>
                <td class="count">{count.toLocaleString()}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Configuration() {
  const { model } = usePage();
  const [settings, setSettings] = useState<Setting[]>([]);
  const [filter, setFilter] = useState('');
  const [problem, setProblem] = useState('');
  const overrides = JSON.stringify(model.info?.overrides);
  useEffect(() => {
    get<{ settings: Setting[] }>('api/config').then(
      (found) => setSettings(found.settings),
      (error: Refused) => setProblem(error.message),
    );
  }, [overrides, model.hello?.session]);
  const drop = async (path: string) => {
    await request('overrides/drop', { paths: [path] }).catch((error: Refused) => setProblem(error.message));
  };
  const shown = settings.filter(({ path, origin }) => (filter === '' ? origin !== 'default' : path.includes(filter.trim().toLowerCase())));
  const mayDrop = model.may('overrides/drop');
  const isOperator = model.hello?.role === 'operator';
  return (
    <section class="card" aria-labelledby="config">
      <h2 id="config">Configuration</h2>
      <p class="pair">
        <label for="filter">Settings whose name has</label>
        <input id="filter" type="search" value={filter} onInput={({ currentTarget }) => setFilter(currentTarget.value)} placeholder="e.g. events" />
      </p>
      {filter === '' && <p class="soft">Those that are written somewhere; all others have their defaults.</p>}
      {isOperator && !mayDrop && <p class="soft">What was changed over MQTT cannot be dropped from here: this node closes that (requests.closed).</p>}
      {problem !== '' && <p class="trouble">{problem}</p>}
      <Scroll label="Settings">
        <table>
          <thead>
            <tr>
              <th scope="col">Setting</th>
              <th scope="col">Value</th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(({ path, value, origin, source, over }) => (
              <tr key={path}>
                <th scope="row">{path}</th>
                <td>
                  <code>{JSON.stringify(value)}</code>
                </td>
                <td>
                  {source ?? origin}
                  {over !== undefined && <span class="soft"> over {JSON.stringify(over.value)}</span>}
                  {origin === 'mqtt' && mayDrop && (
                    <button type="button" class="small quiet" onClick={() => void drop(path)} aria-label={`Let ${path} follow the file again`}>
                      Drop
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {isOperator && model.offers?.check && <CheckConfig />}
      {!isOperator && <p class="soft">Checking another configuration takes an operator.</p>}
    </section>
  );
}

interface Checked {
  ok: boolean;
  issues: ConfigIssue[];
  warnings: string[];
}

/** What would be wrong with another text of the configuration file; nothing is changed by it. */
function CheckConfig() {
  const [text, setText] = useState('');
  const [checked, setChecked] = useState<Checked | null>(null);
  const [problem, setProblem] = useState('');
  const check = async (event: Event) => {
    event.preventDefault();
    setProblem('');
    setChecked(null);
    await post<Checked>('api/config/check', text, { 'content-type': 'application/yaml' }).then(setChecked, (error: Refused) =>
      setProblem(error.message),
    );
  };
  return (
    <form class="form" onSubmit={check}>
      <h3>Check another configuration</h3>
      <label for="yaml">The file as it would be (YAML)</label>
      <textarea
        id="yaml"
        class="code"
        rows={8}
        required
        spellcheck={false}
        value={text}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
      />
      <p class="buttons">
        <button type="submit">Check</button>
      </p>
      <div role="status">
        {problem !== '' && <p class="trouble">{problem}</p>}
        {checked !== null && (
          <p>{checked.ok ? <Badge kind="good">A node can start with it</Badge> : <Badge kind="bad">{checked.issues.length} problems</Badge>}</p>
        )}
        {checked !== null && (
          <ul class="issues">
            {checked.issues.map(({ path, expected, received, nearest, line }) => (
              <li key={`${path} ${expected}`}>
                {line !== undefined && `Line ${line}: `}
                <code>{path || 'the file'}</code>: expected {expected}, received {received}
                {nearest !== undefined && (
                  <>
                    ; did you mean <code>{nearest}</code>?
                  </>
                )}
              </li>
            ))}
            {checked.warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        )}
      </div>
    </form>
  );
}
