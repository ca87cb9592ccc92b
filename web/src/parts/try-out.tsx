import { useEffect, useRef, useState } from 'preact/hooks';
import type { Flip, ReplayReport } from '../../../src/replay/report.js';
import { type Refused, streamed } from '../api.js';
import { usePage } from '../hooks.js';
import type { Spec } from '../spec.js';
import { percent, timeWords, valueWords } from '../words.js';

type Report = Omit<ReplayReport, 'flips' | 'from' | 'to'> & { flips: (Omit<Flip, 'at'> & { at: string })[] };

const SPANS = [
  ['1h', 'the last hour'],
  ['1d', 'the last day'],
  ['7d', 'the last week'],
  ['', 'all there is'],
] as const;

/** What these settings would have made of what was recorded; nothing is changed by it. */
export function TryOut({ id, changes, isRecorded }: { id: string; changes: Spec; isRecorded: boolean }) {
  const { model } = usePage();
  const [since, setSince] = useState('1d');
  const [share, setShare] = useState<number | null>(null);
  const [report, setReport] = useState<Report | null>(null);
  const [problem, setProblem] = useState('');
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const tryOut = async () => {
    const abort = new AbortController();
    running.current = abort;
    setShare(0);
    setReport(null);
    setProblem('');
    try {
      for await (const { event, data } of streamed('api/replay', { watch: id, changes, ...(since === '' ? {} : { since }) }, abort.signal)) {
        const told = JSON.parse(data);
        if (event === 'progress') setShare(told.progress);
        else if (event === 'report') setReport(told);
        else setProblem(told.message);
      }
    } catch (error) {
      if (!abort.signal.aborted) setProblem((error as Refused).message);
    } finally {
      running.current = null;
      setShare(null);
    }
  };
  if (model.hello?.role !== 'operator') return null;
  return (
    <div class="tryout">
      <h3>Try on history</h3>
      {!isRecorded && <p class="soft">Nothing of this watch is recorded to try it on.</p>}
      <p class="buttons">
        <label for="since">with</label>
        <select id="since" value={since} onChange={({ currentTarget }) => setSince(currentTarget.value)}>
          {SPANS.map(([age, words]) => (
            <option key={age} value={age}>
              {words}
            </option>
          ))}
        </select>
        <button type="button" onClick={() => void tryOut()} disabled={share !== null || !isRecorded}>
          Try
        </button>
        {share !== null && (
          <button type="button" class="quiet" onClick={() => running.current?.abort()}>
            Cancel
          </button>
        )}
      </p>
      {share !== null && (
        <p>
          <progress aria-label="Trying" max={1} value={share} /> {percent(share)}
        </p>
      )}
      <div role="status">
        {problem !== '' && <p class="trouble">{problem}</p>}
        {report !== null && <Outcome report={report} />}
      </div>
    </div>
  );
}

function Outcome({ report }: { report: Report }) {
  const { compared, flipped, computed, events, days, labels, flips } = report;
  const perDay = (count: number) => (days === 0 ? '–' : (count / days).toLocaleString(undefined, { maximumSignificantDigits: 3 }));
  return (
    <>
      <table>
        <thead>
          <tr>
            <th scope="col">
              <span class="hidden">What</span>
            </th>
            <th scope="col">on record</th>
            <th scope="col">now</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">events</th>
            <td>{events.before}</td>
            <td>{events.now}</td>
          </tr>
          <tr>
            <th scope="row">events a day</th>
            <td>{perDay(events.before)}</td>
            <td>{perDay(events.now)}</td>
          </tr>
          {labels !== null && (
            <>
              <tr>
                <th scope="row">of its alarms right (precision)</th>
                <td>{percent(labels.score.before.precision)}</td>
                <td>{percent(labels.score.now.precision)}</td>
              </tr>
              <tr>
                <th scope="row">of what it should have told, told (recall)</th>
                <td>{percent(labels.score.before.recall)}</td>
                <td>{percent(labels.score.now.recall)}</td>
              </tr>
            </>
          )}
        </tbody>
      </table>
      <p>
        {flipped} of {compared} answers are others; {computed} were asked anew.
        {labels === null && ' Say of some answers above whether they were right, and this shows how right the settings are.'}
      </p>
      <ol class="lines">
        {flips.slice(0, 24).map(({ frame, at, picture, before, now }) => (
          <li key={frame}>
            {picture === null ? (
              <p class="nopicture">No picture</p>
            ) : (
              <img src={picture} loading="lazy" alt={`${timeWords(at)}: ${valueWords(now.value)}`} />
            )}
            <p>
              <time dateTime={at}>{timeWords(at)}</time> {valueWords(before.value)} → {valueWords(now.value)}{' '}
              <span class="soft">({percent(now.confidence)} sure)</span>
            </p>
          </li>
        ))}
      </ol>
    </>
  );
}
