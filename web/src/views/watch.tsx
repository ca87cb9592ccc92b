import { useCallback, useEffect, useState } from 'preact/hooks';
import type { AnswerLine, EventLine } from '../../../src/record/lines.js';
import type { AnswerSpec, Value as AnswerValue } from '../../../src/watch/spec.js';
import { get, type Refused, request } from '../api.js';
import { useNow, usePage } from '../hooks.js';
import { Chart } from '../parts/chart.js';
import { Value } from '../parts/value.js';
import { WatchEditor } from '../parts/watch-editor.js';
import { changeWords, percent, timeWords, valueWords } from '../words.js';

interface Label {
  verdict: 'right' | 'wrong';
  value?: AnswerValue;
}
type Line = ((AnswerLine & { kind: 'answer' }) | (EventLine & { kind: 'event' })) & { segment: string; label?: Label };
interface RecordPage {
  lines: Line[];
  next: string | null;
  isRecorded: boolean;
  isShown: boolean;
  missing: string[];
}

const MOST_LINES = 4000;
const PAGE = 500;
const EVENTS = 8;

export function WatchView({ id }: { id: string }) {
  const { model } = usePage();
  const now = useNow();
  const [page, older, again, problem] = useRecord(id);
  const watch = model.info?.watches.find((one) => one.id === id);
  if (model.info !== null && watch === undefined) return <p>There is no watch {id} (any more).</p>;
  if (watch === undefined) return <p class="soft">Nothing is known of this node yet.</p>;
  const answers = (page?.lines ?? []).filter((line) => line.kind === 'answer').reverse();
  return (
    <>
      <section class="card" aria-labelledby="watch">
        <p class="soft">
          Watch {id} of camera {watch.camera}
        </p>
        <h1 id="watch">{watch.question}</h1>
        <Value result={model.result(id)} now={now} />
      </section>
      <section class="card" aria-labelledby="history">
        <header>
          <h2 id="history">History</h2>
          <button type="button" class="small quiet" onClick={again}>
            Read again
          </button>
        </header>
        {problem !== '' && <p class="trouble">{problem}</p>}
        {page !== null && page.missing.length > 0 && (
          <p>
            {page.isRecorded ? '' : 'This watch is not recorded. '}Its configuration needs{' '}
            {page.missing.map((setting, i) => (
              <>
                {i > 0 && ', '}
                <code>{setting}</code>
              </>
            ))}
            .
          </p>
        )}
        {answers.length > 0 && <Chart title={`Answers of ${id}`} {...curvesOf(answers, watch.answer)} />}
        {page?.next != null && (
          <button type="button" class="small" onClick={older} disabled={page.lines.length >= MOST_LINES}>
            {page.lines.length >= MOST_LINES ? `The newest ${MOST_LINES} lines are shown` : 'Show what came before'}
          </button>
        )}
        {page !== null && page.lines.length > 0 && <Lines id={id} lines={page.lines} answer={watch.answer} isShown={page.isShown} now={now} />}
        {page !== null && page.lines.length === 0 && page.missing.length === 0 && <p class="soft">Nothing is recorded yet.</p>}
      </section>
      <WatchEditor id={id} camera={watch.camera} isRecorded={(page?.lines.length ?? 0) > 0} />
    </>
  );
}

/** What happened and what was answered, each with its picture, to say whether it was right. */
function Lines({ id, lines, answer, isShown, now }: { id: string; lines: Line[]; answer: AnswerSpec; isShown: boolean; now: number }) {
  const { model } = usePage();
  const [chosen, setKind] = useState<'event' | 'answer' | null>(null);
  const kind = chosen ?? (lines.some((line) => line.kind === 'event') ? 'event' : 'answer');
  const [count, setCount] = useState(EVENTS);
  const all = lines.filter((line) => line.kind === kind);
  return (
    <>
      <fieldset class="tabs">
        <legend class="hidden">Which lines are shown</legend>
        {(['event', 'answer'] as const).map((name) => (
          <label key={name} class="inline">
            <input type="radio" name="lines" checked={kind === name} onChange={() => setKind(name)} /> {name === 'event' ? 'Events' : 'All answers'} (
            {lines.filter((line) => line.kind === name).length})
          </label>
        ))}
      </fieldset>
      {!model.may('label') && (
        <p class="soft">
          Saying what was right takes {model.hello?.role === 'operator' ? 'a node that does not close it (requests.closed)' : 'an operator'}.
        </p>
      )}
      <ol class="lines">
        {all.slice(0, count).map((line) => (
          <LineCard
            key={line.kind === 'answer' ? line.id : `${line.at} ${line.answer}`}
            watch={id}
            line={line}
            spec={answer}
            isShown={isShown}
            now={now}
          />
        ))}
      </ol>
      {all.length > count && (
        <button type="button" class="small" onClick={() => setCount(count + 4 * EVENTS)}>
          Show more
        </button>
      )}
    </>
  );
}

function LineCard({ watch, line, spec, isShown, now }: { watch: string; line: Line; spec: AnswerSpec; isShown: boolean; now: number }) {
  const { model } = usePage();
  const [label, setLabel] = useState<Label | undefined>(line.label);
  const [problem, setProblem] = useState('');
  const [isGone, setGone] = useState(false);
  const answer = line.kind === 'answer' ? line.id : line.answer;
  const said = (line.kind === 'answer' ? line.observed : line.value) as AnswerValue | null;
  const what = line.kind === 'answer' ? valueWords(said) : changeWords(line.event_type, line.previous as AnswerValue | null, said);
  const judge = async (verdict: Label['verdict'], value?: AnswerValue) => {
    try {
      setProblem('');
      await request('label', { watch, answer, verdict, ...(value === undefined ? {} : { value }) });
      setLabel({ verdict, ...(value === undefined ? {} : { value }) });
    } catch (error) {
      setProblem((error as Refused).message);
    }
  };
  const isOpen = model.may('label');
  return (
    <li>
      {line.frame !== null && isShown && !isGone ? (
        <img
          src={`api/record/${watch}/${encodeURIComponent(line.frame)}.jpg?segment=${line.segment}`}
          loading="lazy"
          alt={`${timeWords(line.at, now)}: ${what}`}
          onError={() => setGone(true)}
        />
      ) : (
        <p class="nopicture">No picture</p>
      )}
      <p>
        <time dateTime={line.at}>{timeWords(line.at, now)}</time> {what}
        {line.kind === 'answer' && line.confidence !== null && <span class="soft">, {percent(line.confidence)} sure</span>}
      </p>
      {answer !== null && isOpen && (
        <fieldset class="buttons">
          <legend class="hidden">{`Was that right, at ${timeWords(line.at, now)}?`}</legend>
          <button type="button" class="small" aria-pressed={label?.verdict === 'right'} onClick={() => void judge('right')}>
            Right
          </button>
          <button type="button" class="small" aria-pressed={label?.verdict === 'wrong'} onClick={() => void judge('wrong')}>
            Wrong
          </button>
          {label?.verdict === 'wrong' && spec.type === 'choice' && (
            <select
              aria-label="What would have been right"
              value={String(label.value ?? '')}
              onChange={({ currentTarget }) => void judge('wrong', currentTarget.value)}
            >
              <option value="" disabled>
                it was …
              </option>
              {spec.choices.map((choice) => (
                <option key={choice}>{choice}</option>
              ))}
            </select>
          )}
          {label?.verdict === 'wrong' && spec.type === 'number' && (
            <RightNumber value={label.value} min={spec.min} max={spec.max} onJudged={(number) => void judge('wrong', number)} />
          )}
        </fieldset>
      )}
      {label !== undefined && !isOpen && <p class="soft">said to be {label.verdict}</p>}
      {problem !== '' && <p class="trouble">{problem}</p>}
    </li>
  );
}

function RightNumber({
  value,
  min,
  max,
  onJudged,
}: {
  value: AnswerValue | undefined;
  min: number;
  max: number;
  onJudged: (number: number) => void;
}) {
  const [text, setText] = useState(String(value ?? '')); // drawn again while it is written, it stays
  return (
    <input
      type="number"
      aria-label="What would have been right"
      {...{ min, max }}
      value={text}
      onInput={({ currentTarget }) => setText(currentTarget.value)}
      onChange={({ currentTarget }) => currentTarget.value !== '' && onJudged(Number(currentTarget.value))}
    />
  );
}

function useRecord(id: string): [page: RecordPage | null, older: () => void, again: () => void, problem: string] {
  const [page, setPage] = useState<RecordPage | null>(null);
  const [problem, setProblem] = useState('');
  const read = useCallback(
    async (before: string | null) => {
      try {
        const fresh = await get<RecordPage>(`api/record/${id}?limit=${PAGE}${before === null ? '' : `&before=${before}`}`);
        setPage((known) => (before === null || known === null ? fresh : { ...fresh, lines: [...known.lines, ...fresh.lines] }));
        setProblem('');
      } catch (error) {
        setProblem((error as Refused).message);
      }
    },
    [id],
  );
  useEffect(() => void read(null), [read]);
  return [page, () => void read(page?.next ?? null), () => void read(null), problem];
}

/** The value that is believed as steps, and how sure each answer was. Texts have no height. */
function curvesOf(
  answers: (Line & { kind: 'answer' })[],
  spec: AnswerSpec,
): { times: number[]; curves: Parameters<typeof Chart>[0]['curves']; range?: [number, number] } {
  const times = answers
    .map(({ at }) => Date.parse(at) / 1000)
    .map((time, i, all) => Math.max(time, ...(i > 0 ? [(all[i - 1] as number) + 0.001] : [])));
  const sure = answers.map(({ confidence }) => confidence);
  const confidence = { label: 'how sure', values: sure, words: (share: number | null) => percent(share), color: 'two' as const, isShare: true };
  if (spec.type === 'text') return { times, curves: [{ ...confidence, color: 'one', isShare: false }], range: [0, 1.05] };
  const choices = spec.type === 'choice' ? spec.choices : ['No', 'Yes'];
  const height = ({ value }: AnswerLine) =>
    value === null ? null : spec.type === 'number' ? (value as number) : spec.type === 'choice' ? choices.indexOf(value as string) : Number(value);
  const words = (value: number | null) => (value === null ? '' : spec.type === 'number' ? String(value) : (choices[value] ?? ''));
  const value = { label: 'value', values: answers.map(height), words, stepped: true, color: 'one' as const };
  if (spec.type === 'boolean') return { times, curves: [value, confidence], range: [-0.1, 1.1] };
  const top = spec.type === 'number' ? spec.max : choices.length - 1;
  return { times, curves: [value], range: [(spec.type === 'number' ? spec.min : 0) - 0.2, top + 0.2] };
}
