/** /v1: chat completions about pictures, as other people's clients ask for them. */
import type { Context, Hono } from 'hono';
import { MiphaError } from '../errors.js';
import type { Env } from './access.js';
import type { Answerer, ChatJob } from './answerer.js';
import type { Mount, Room } from './app.js';
import { jobOf, readRequest } from './chat-request.js';
import type { ChatRequest } from './chat-schema.js';
import { asStream, events, Pieces, type StreamOptions } from './chat-stream.js';
import { Completion } from './completion.js';
import { Problem, problemOf } from './problem.js';
import { SILENCE_MS } from './silence.js';

/** When this process began to serve. */
const CREATED = Math.floor(Date.now() / 1000);

export function chatRoutes(answerer: Answerer): Mount {
  return (app: Hono<Env>, { access, bodies, onFault }: Room) => {
    app.get('/v1/models', access.needs('viewer'), (c) => c.json({ object: 'list', data: [card(answerer)] }));
    app.get('/v1/models/:id', access.needs('viewer'), (c) => {
      checkModel(answerer, c.req.param('id'));
      return c.json(card(answerer));
    });
    app.post('/v1/chat/completions', access.needs('viewer'), async (c) => {
      answerer.checkRoom();
      return await bodies.json(c, (value) => complete(c, answerer, readRequest(value), onFault));
    });
  };
}

async function complete(c: Context<Env>, answerer: Answerer, request: ChatRequest, onFault: Room['onFault']): Promise<Response> {
  const model = checkModel(answerer, request.model);
  const job = jobOf(request);
  const completion = new Completion(model, request.logprobs === true);
  const usage = request.stream_options?.include_usage === true;
  if (request.stream === true) return await streamed(c, answerer, job, { completion, usage, whole: job.schema !== null, onFault });
  const { signal, release } = hangUp(c);
  try {
    return c.json(completion.whole(await answerer.answer(job, { signal })));
  } catch (error) {
    throw namedField(error, job);
  } finally {
    release();
  }
}

/** Begins when there is something to say, so that what fails before that has a status of its own. */
async function streamed(c: Context<Env>, answerer: Answerer, job: ChatJob, options: StreamOptions): Promise<Response> {
  const { signal, leave, release } = hangUp(c);
  const pieces = new Pieces();
  const answered = answerer
    .answer(job, { signal, onText: (piece) => pieces.push(piece) })
    .catch((error: unknown) => {
      throw namedField(error, job);
    })
    .finally(() => {
      release();
      pieces.end();
    });
  answered.catch(() => {}); // told below, or in the stream
  await pieces.some();
  if (pieces.none) await answered; // which may have failed
  const texts = events(pieces, answered, options);
  return c.body(asStream(texts, leave), 200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' });
}

/** Aborted when the client has gone. While an answer is worked on, silence is no reason to close. */
function hangUp(c: Context<Env>): { signal: AbortSignal; leave: () => void; release: () => void } {
  const { incoming, outgoing } = c.env;
  const controller = new AbortController();
  const leave = () => controller.abort(new Problem(400, 'The client has gone'));
  outgoing.once('close', leave);
  if (outgoing.destroyed || incoming.socket.destroyed) leave();
  incoming.socket.setTimeout(0);
  const release = () => {
    outgoing.off('close', leave);
    incoming.socket.setTimeout(SILENCE_MS);
  };
  return { signal: controller.signal, leave, release };
}

function checkModel(answerer: Answerer, name: string) {
  const model = answerer.model();
  if (model.name === name) return model;
  throw new Problem(404, `model: expected ${model.name}, received ${JSON.stringify(name.slice(0, 100))}`, {
    code: 'model_not_found',
    param: 'model',
  });
}

function card(answerer: Answerer) {
  const { name, context } = answerer.model();
  return { id: name, object: 'model', created: CREATED, owned_by: 'mipha-edge', max_model_len: context };
}

/** Options of the engine by the name that they have in the request. */
function namedField(error: unknown, { picture }: ChatJob): unknown {
  if (!(error instanceof MiphaError)) return error;
  if (error.code === 'ERR_IMAGE' && picture !== null) {
    const { status, message, options } = problemOf(error);
    return new Problem(status, message, { ...options, param: picture.param });
  }
  if (error.code !== 'ERR_OPTION') return error;
  const { option, expected = 'another value' } = error.details;
  const isSchema = /^as\b/.test(option);
  const param = isSchema ? option.replace(/^as/, 'response_format.json_schema.schema') : (FIELDS[option] ?? 'messages');
  const message = isSchema ? `${param}: ${error.message.replace(/^Option [^:]*: /, '')}` : `${param}: expected ${expected}`;
  return new Problem(400, message, {
    code: isSchema ? 'invalid_json_schema' : 'invalid_value',
    param,
    mipha: { code: 'ERR_OPTION', retryable: false },
    cause: error,
  });
}

const FIELDS: Record<string, string> = { 'ask.temperature': 'temperature', 'ask.topP': 'top_p', 'ask.seed': 'seed', 'ask.maxTokens': 'max_tokens' };
