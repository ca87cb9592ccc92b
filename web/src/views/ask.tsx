import { useRef, useState } from 'preact/hooks';
import type { Response as Answer, Result } from '../../../src/mqtt/messages.js';
import type { AnswerSpec } from '../../../src/watch/spec.js';
import { Refused, streamed } from '../api.js';
import { usePage } from '../hooks.js';
import type { Model } from '../model.js';
import { pictureUrl } from '../pictures.js';
import { bytesWords, percent, timeWords, valueWords } from '../words.js';

interface Asked {
  id: number;
  question: string;
  picture: string | null; // an address
  /** What has come so far. */
  text: string;
  state: 'asking' | 'done' | 'failed' | 'cancelled';
  words: string; // below the answer
}

type Kind = 'text' | 'boolean' | 'choice' | 'number';
const KINDS: [Kind, string][] = [
  ['text', 'In words'],
  ['boolean', 'Yes or no'],
  ['choice', 'One of'],
  ['number', 'A number'],
];
const MOST_ASKED = 20;
const MOST_UPLOAD_BYTES = 5_000_000;
const UPLOAD = ' upload'; // no camera is called so

const NO_PICTURES = 'A picture of yours cannot be asked about: http.chat is off in the configuration of this node.';

/** Why nothing can be asked now; empty: it can. */
function reasonOf({ info, offers }: Model, hasCameras: boolean, takesPictures: boolean): string {
  if (info === null || offers === null) return 'Nothing is known of this node yet.';
  if (!offers.queries) return 'This node answers only the questions of its watches: requests.queries is off in its configuration.';
  if (info.draining) return 'This node takes no new questions: its option draining is on.';
  const [model] = info.models;
  if (model?.state !== 'ready') return model?.state === 'failed' ? 'The model of this node could not be loaded.' : 'The model is being loaded.';
  return hasCameras || takesPictures ? '' : 'There is nothing to ask about: no camera is enabled, and http.chat is off.';
}

export function AskView() {
  const { model, connection } = usePage();
  const cameras = model.info?.cameras.filter(({ enabled }) => enabled) ?? [];
  const mostBytes = Math.min(MOST_UPLOAD_BYTES, model.offers?.picture_bytes ?? 0);
  const [chosen, setCamera] = useState('');
  const camera = chosen || (cameras[0]?.id ?? UPLOAD);
  const reason = reasonOf(model, cameras.length > 0, mostBytes > 0);
  const [question, setQuestion] = useState('');
  const [kind, setKind] = useState<Kind>('text');
  const [choices, setChoices] = useState('');
  const [bounds, setBounds] = useState({ min: '0', max: '10' });
  const [upload, setUpload] = useState<{ url: string; name: string } | null>(null);
  const [problem, setProblem] = useState('');
  const [asked, setAsked] = useState<Asked[]>([]);
  const running = useRef<AbortController | null>(null);
  const number = useRef(0);

  const take = async (files: FileList | null) => {
    const file = files?.[0];
    if (file === undefined) return;
    if (mostBytes === 0) return setProblem(NO_PICTURES);
    if (file.size > mostBytes) return setProblem(`A picture has at most ${bytesWords(mostBytes)} here, this one has ${bytesWords(file.size)}`);
    setProblem('');
    setUpload({ url: await dataUrl(file), name: file.name });
    setCamera(UPLOAD);
  };
  const ask = async (event: Event) => {
    event.preventDefault();
    if (camera === UPLOAD && upload === null) return setProblem('Choose a picture first');
    setProblem('');
    const id = ++number.current;
    const change = (more: Partial<Asked>) => setAsked((all) => all.map((one) => (one.id === id ? { ...one, ...more } : one)));
    const first: Asked = { id, question, picture: camera === UPLOAD ? (upload?.url ?? null) : null, text: '', state: 'asking', words: '' };
    setAsked((all) => [first, ...all].slice(0, MOST_ASKED));
    const abort = new AbortController();
    running.current = abort;
    const answer = answerSpec(kind, choices, bounds);
    try {
      if (camera === UPLOAD) await askAbout(model.info?.models[0]?.id ?? '', upload?.url ?? '', question, answer, abort.signal, change);
      else await askCamera(camera, cameras.find((one) => one.id === camera)?.images === true, question, answer, abort.signal, change);
    } catch (error) {
      change(abort.signal.aborted ? { state: 'cancelled' } : { state: 'failed', words: (error as Refused).message });
    } finally {
      running.current = null;
    }
  };
  const isAsking = asked[0]?.state === 'asking';
  return (
    <div class="two">
      <section class="card" aria-labelledby="ask">
        <h1 id="ask">Ask</h1>
        {reason !== '' && <p>{reason}</p>}
        <form
          class="form"
          onSubmit={ask}
          onDragOver={(event) => event.preventDefault()}
          onDrop={(event) => {
            event.preventDefault();
            void take(event.dataTransfer?.files ?? null);
          }}
        >
          <label for="where">About</label>
          <select id="where" value={camera} onChange={({ currentTarget }) => setCamera(currentTarget.value)}>
            {cameras.map(({ id }) => (
              <option key={id} value={id}>
                what {id} sees now
              </option>
            ))}
            {mostBytes > 0 && <option value={UPLOAD}>a picture of yours</option>}
          </select>
          {mostBytes === 0 && <p class="soft">{NO_PICTURES}</p>}
          {camera === UPLOAD && (
            <>
              <label for="picture">Picture</label>
              <input
                id="picture"
                type="file"
                accept="image/jpeg,image/png,image/webp"
                onChange={({ currentTarget }) => void take(currentTarget.files)}
              />
              {upload !== null && <img class="upload" src={upload.url} alt={`Chosen: ${upload.name}`} />}
            </>
          )}
          <label for="question">Question</label>
          <textarea
            id="question"
            rows={2}
            required
            maxLength={model.info?.limits.question_chars ?? 1000}
            value={question}
            onInput={({ currentTarget }) => setQuestion(currentTarget.value)}
          />
          <fieldset>
            <legend>Answer</legend>
            {KINDS.map(([name, words]) => (
              <label key={name} class="inline">
                <input type="radio" name="kind" checked={kind === name} onChange={() => setKind(name)} /> {words}
              </label>
            ))}
          </fieldset>
          {kind === 'choice' && (
            <>
              <label for="choices">Choices, with commas between</label>
              <input
                id="choices"
                required
                value={choices}
                onInput={({ currentTarget }) => setChoices(currentTarget.value)}
                placeholder="red, green, blue"
              />
            </>
          )}
          {kind === 'number' && (
            <p class="pair">
              <label for="min">From</label>
              <input
                id="min"
                type="number"
                required
                value={bounds.min}
                onInput={({ currentTarget }) => setBounds({ ...bounds, min: currentTarget.value })}
              />
              <label for="max">to</label>
              <input
                id="max"
                type="number"
                required
                value={bounds.max}
                onInput={({ currentTarget }) => setBounds({ ...bounds, max: currentTarget.value })}
              />
            </p>
          )}
          <p class="buttons">
            <button type="submit" disabled={isAsking || reason !== '' || connection.link !== 'connected'}>
              Ask
            </button>
            {isAsking && (
              <button type="button" class="quiet" onClick={() => running.current?.abort()}>
                Cancel
              </button>
            )}
          </p>
          <p role="alert" class="trouble">
            {problem}
          </p>
        </form>
      </section>
      <section class="card" aria-labelledby="answers">
        <h2 id="answers">Answers</h2>
        {asked.length === 0 && <p class="soft">They are kept until this page is closed.</p>}
        <ol class="asked" aria-live="polite">
          {asked.map((one) => (
            <li key={one.id}>
              {one.picture !== null && <img src={one.picture} alt={`What was asked about: ${one.question}`} />}
              <div>
                <p class="soft">{one.question}</p>
                <p class={one.state === 'done' ? 'value' : 'value none'} aria-busy={one.state === 'asking'}>
                  {one.text || { asking: 'Looking …', done: '(no words)', failed: 'No answer', cancelled: 'Cancelled' }[one.state]}
                </p>
                <p class={one.state === 'failed' ? 'trouble' : 'soft'}>{one.words}</p>
              </div>
            </li>
          ))}
        </ol>
      </section>
    </div>
  );
}

async function askCamera(
  camera: string,
  hasPictures: boolean,
  question: string,
  answer: AnswerSpec | undefined,
  signal: AbortSignal,
  change: (more: Partial<Asked>) => void,
): Promise<void> {
  let text = '';
  const body = { camera, question, ...(answer === undefined ? { partial: true } : { answer }) };
  for await (const { data } of streamed('api/request/query', body, signal)) {
    const response = JSON.parse(data) as Answer;
    if (response.status === 'partial') {
      text += (response.data as { text: string }).text;
      change({ text });
    } else if (response.status === 'error') throw new Refused(response.error?.message ?? '', response.error?.code ?? '');
    else if (response.status === 'ok') {
      const { value, confidence, frame, timing } = response.data as Result;
      change({
        text: valueWords(value),
        state: 'done',
        picture: hasPictures && frame !== null ? pictureUrl(camera, frame.id) : null,
        words: `${camera} at ${timeWords(frame?.ts ?? response.ts)}${confidence === null ? '' : `, ${percent(confidence)} sure`}, in ${Math.round(timing?.total_ms ?? 0)} ms`,
      });
    }
  }
}

/** By the endpoint that other programs use, whose shapes are not ours. */
async function askAbout(
  model: string,
  url: string,
  question: string,
  answer: AnswerSpec | undefined,
  signal: AbortSignal,
  change: (more: Partial<Asked>) => void,
): Promise<void> {
  const content = [
    { type: 'text', text: question },
    { type: 'image_url', image_url: { url } },
  ];
  const begun = performance.now();
  let text = '';
  const body = {
    model,
    stream: true,
    messages: [{ role: 'user', content }],
    ...(answer === undefined ? {} : { response_format: formatOf(answer) }),
  };
  for await (const { data } of streamed('v1/chat/completions', body, signal, { 'content-type': 'application/json' })) {
    if (data === '[DONE]' || data === '') continue;
    const chunk = JSON.parse(data) as { choices?: { delta?: { content?: string | null } }[]; error?: { message: string; code: string } };
    if (chunk.error !== undefined) throw new Refused(chunk.error.message, chunk.error.code);
    text += chunk.choices?.[0]?.delta?.content ?? '';
    if (answer === undefined) change({ text });
  }
  change({
    text: answer === undefined ? text : valueWords(JSON.parse(text).answer),
    state: 'done',
    words: `in ${Math.round(performance.now() - begun)} ms`,
  });
}

function formatOf(answer: AnswerSpec): object {
  const value =
    answer.type === 'boolean'
      ? { type: 'boolean' }
      : answer.type === 'choice'
        ? { type: 'string', enum: answer.choices }
        : answer.type === 'number'
          ? { type: 'integer', minimum: answer.min, maximum: answer.max }
          : { type: 'string' };
  const schema = { type: 'object', properties: { answer: value }, required: ['answer'], additionalProperties: false };
  return { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } };
}

function answerSpec(kind: Kind, choices: string, { min, max }: { min: string; max: string }): AnswerSpec | undefined {
  if (kind === 'text') return undefined;
  if (kind === 'boolean') return { type: 'boolean' };
  if (kind === 'number') return { type: 'number', min: Number(min), max: Number(max), decimals: 0 };
  return {
    type: 'choice',
    choices: choices
      .split(',')
      .map((choice) => choice.trim())
      .filter(Boolean),
  };
}

function dataUrl(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
