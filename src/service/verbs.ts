/** What the node does for each verb. The router in mqtt has checked the request, answers `cancel` itself, and sends what is returned or thrown. */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Camera } from '../camera/camera.js';
import { jpegOf } from '../camera/jpeg.js';
import { MiphaError } from '../errors.js';
import { SCHEMA_VERSION } from '../mqtt/messages.js';
import { RequestError } from '../mqtt/request-error.js';
import type { RequestOf } from '../mqtt/request-schemas.js';
import type { Handlers, RequestContext } from '../mqtt/requests.js';
import { type Part, WHOLE } from '../watch/part.js';
import type { QueryOutcome } from '../watch/queries.js';
import type { AnswerSpec, WatchSpec } from '../watch/spec.js';
import type { BrokerSide } from './broker-side.js';
import type { Changer } from './changer.js';
import { freshFrame, MAX_AGE_MS } from './chat/newest-frame.js';
import type { ConfigIssue } from './config/config.js';
import { recordFolderOf } from './config/record-folder.js';
import { labelAnswer } from './label-answer.js';
import type { Metrics } from './metrics.js';
import type { ModelUpdates } from './model/updates.js';
import type { NodeState } from './node-state.js';
import { own } from './own.js';
import type { SeenFrames } from './page/seen-frames.js';
import type { Status } from './publish/status.js';
import type { RecordKeeper } from './recording/keeper.js';
import type { Watching } from './watching.js';

/** What the handlers work on. */
export interface VerbContext {
  state: NodeState;
  side: BrokerSide;
  changer: Changer;
  status: Status;
  metrics: Metrics;
  record: Pick<RecordKeeper, 'settle'>;
  frames: Pick<SeenFrames, 'seen'>;
  updates: Pick<ModelUpdates, 'install' | 'rollBack'>;
  restart(): void;
}

const TTL_MS = 30_000;
const JPEG_SIDE_PX = 1280;
const JPEG_QUALITY = 85;

/** Those that the configuration closes refuse everybody. */
export function handlersOf(context: VerbContext): Handlers {
  const handlers = openHandlers(context);
  const entries = Object.entries(handlers) as [keyof Handlers, (request: never, call: RequestContext) => Promise<unknown>][];
  return Object.fromEntries(
    entries.map(([verb, handler]) => [
      verb,
      async (request: never, call: RequestContext) => {
        refuseClosed(verb, context.changer.config.requests.closed);
        return await handler(request, call);
      },
    ]),
  ) as unknown as Handlers;
}

/** Throws FORBIDDEN. */
export function refuseClosed(what: string, closed: readonly string[]): void {
  if (!closed.includes(what)) return;
  const words = what === 'set' ? 'The settable topics are' : `${what} is`;
  throw new RequestError('FORBIDDEN', `${words} closed by the configuration of this node (requests.closed)`, {
    refs: [{ key: 'requests.closed', value: what }],
  });
}

function openHandlers(context: VerbContext): Handlers {
  return {
    query: async (request, call) => {
      try {
        return await query(context, request, call);
      } catch (error) {
        count(context, null, 'error');
        throw error;
      }
    },
    snapshot: (request) => snapshot(context, request),
    health: async () => context.status.health(),
    announce: async () => {
      context.side.link.restate();
      return context.status.info();
    },
    'watch/put': async ({ watch, spec }) => {
      if (context.state.watching?.cameras.get(spec.camera) === undefined) throw unknownCamera(context, spec.camera);
      return { watch, ...(await context.changer.putWatch(watch, spec).catch(refuse)) };
    },
    'watch/delete': async ({ watch }) => {
      loaded(context);
      knownWatch(context, watch);
      return { watch, persisted: await context.changer.deleteWatch(watch) };
    },
    options: async ({ options }) => {
      loaded(context);
      const { restart, persisted } = await context.changer.patch(options).catch(refuse);
      return { restart_required: [...restart], persisted };
    },
    'overrides/drop': async ({ paths }) => {
      loaded(context);
      const { dropped, restart, persisted } = await context.changer.drop(paths).catch(refuse);
      return { dropped: [...dropped], restart_required: [...restart], persisted };
    },
    label: async (request) => {
      const spec = knownWatch(context, request.watch);
      return await labelAnswer(request, spec, recordFolderOf(context.changer.config), context.record);
    },
    'model/install': async (request) => {
      loaded(context);
      return await context.updates.install(request);
    },
    'model/rollback': async () => {
      loaded(context);
      return await context.updates.rollBack();
    },
    'camera/restart': async ({ camera }) => {
      const found = cameraOf(context, camera);
      if (loaded(context).cameras.config(camera)?.enabled !== true) throw new RequestError('FORBIDDEN', `The camera ${camera} is disabled`);
      found.restart();
      return { camera };
    },
    restart: async () => {
      context.restart();
      return { session: context.state.session };
    },
  };
}

/** Whoever may ask only what watches ask, may ask it only of what they look at. */
function refuseFree({ question, camera, answer, crop }: RequestOf<'query'>, watch: WatchSpec | undefined): void {
  if (watch === undefined) throw new RequestError('FORBIDDEN', 'This node answers only the questions of its watches: name one in `watch`');
  const others = Object.entries({ question, camera, answer, crop }).filter(
    ([key, value]) => value !== undefined && !isDeepStrictEqual(value, watch[key as keyof WatchSpec]),
  );
  if (others.length === 0) return;
  const names = others.map(([key]) => key);
  throw new RequestError('FORBIDDEN', `This node asks its watches' questions only as they are, without another ${names.join(', ')}`, {
    refs: names.map((key) => ({ key, value: 'other than that of the watch' })),
  });
}

async function query(context: VerbContext, request: RequestOf<'query'>, call: RequestContext) {
  if (context.changer.config.draining)
    throw new RequestError('DRAINING', 'This node takes no new queries (its option draining is on): ask another one');
  const watch = request.watch === undefined ? undefined : knownWatch(context, request.watch);
  if (!context.changer.config.requests.queries) refuseFree(request, watch);
  const question = request.question ?? watch?.question;
  if (question === undefined) {
    throw new RequestError('SCHEMA', 'question: expected a question, or a watch that has one', { refs: [{ key: 'question', value: 'missing' }] });
  }
  const camera = cameraOf(context, request.camera ?? watch?.camera);
  const { queries } = loaded(context);
  if (context.state.modelState === 'loading') throw modelLoading(); // another one takes its place
  const maxAgeMs = request.max_age_ms ?? watch?.max_age_ms ?? MAX_AGE_MS;
  freshFrame(camera, maxAgeMs);
  const part: Part = request.crop === undefined ? (watch ?? WHOLE) : { crop: request.crop }; // a crop of its own replaces the zones too
  const answer: AnswerSpec | undefined = request.answer ?? (request.question === undefined ? watch?.answer : undefined);
  const ttlMs = request.ttl_ms ?? watch?.ttl_ms ?? TTL_MS;
  const outcome = await queries
    .ask({
      frame: () => {
        const frame = freshFrame(camera, maxAgeMs); // the newest one when its turn has come
        context.frames.seen(camera.id, frame);
        return frame;
      },
      question,
      ...(answer === undefined ? {} : { answer }),
      crop: part.crop,
      zone: part.zone,
      ignore: part.ignore,
      ...(request.max_tokens === undefined ? {} : { maxTokens: request.max_tokens }),
      ...(request.partial === true ? { onText: (text: string) => call.partial(text) } : {}),
      priority: request.priority ?? 0,
      signal: call.signal,
      deadlineMs: call.deadlineMs,
      ttlMs,
      onAdmitted: () => call.accepted(),
    })
    .catch(lapsed);
  call.about({ capturedMs: outcome.frame.monotonicMs, maxAgeMs, ttlMs });
  count(context, outcome, 'ok');
  return context.side.results.query(outcome, {
    transaction: call.transaction,
    watch: request.watch ?? null,
    camera: camera.id,
    ttlMs,
  });
}

async function snapshot(context: VerbContext, request: RequestOf<'snapshot'>) {
  const camera = cameraOf(context, request.camera);
  if (loaded(context).cameras.config(camera.id)?.images !== true) {
    throw new RequestError('FORBIDDEN', `Pictures of the camera ${camera.id} are not published: its option images is off`);
  }
  const frame = freshFrame(camera, request.max_age_ms ?? MAX_AGE_MS);
  const letGo = frame.hold?.();
  const wanted = { maxSidePx: request.max_side_px ?? JPEG_SIDE_PX, quality: request.quality ?? JPEG_QUALITY };
  const { data: jpeg, width, height } = await jpegOf(frame, wanted).finally(letGo);
  const { imageBytes } = context.status;
  if (jpeg.length > imageBytes) {
    throw new RequestError('TOO_LARGE', `The picture has ${jpeg.length} bytes, at most ${imageBytes} may be sent: lower max_side_px or quality`);
  }
  const topic = context.side.topics.camera(camera.id, 'image');
  const sha256 = createHash('sha256').update(jpeg).digest('hex');
  context.side.outlet.picture(topic, jpeg, {
    contentType: 'image/jpeg',
    user: { id: frame.id, ts: frame.at.toISOString(), sha256, v: `${SCHEMA_VERSION}` },
  });
  return {
    camera: camera.id,
    frame: { id: frame.id, ts: frame.at.toISOString(), width, height },
    topic,
    content_type: 'image/jpeg' as const,
    bytes: jpeg.length,
    sha256,
  };
}

/** An answer that came too late to be relied upon is none. */
function lapsed(error: unknown): never {
  if (error instanceof MiphaError && error.code === 'ERR_DEADLINE' && Object.hasOwn(error.details, 'ttlMs')) {
    throw new RequestError('EXPIRED', error.message, { cause: error });
  }
  throw error;
}

/** Settings that must not be changed from outside are forbidden, not malformed; the paths of all others are named. */
export function refuse(error: unknown): never {
  if (!(error instanceof MiphaError) || error.code !== 'ERR_CONFIG') throw error;
  const { issues = [], forbidden } = error.details as { issues?: ConfigIssue[]; forbidden?: string[] };
  const refs = issues.map(({ path, expected, received }) => ({ key: path, value: `expected ${expected}, received ${received}` }));
  throw new RequestError(forbidden === undefined ? 'SCHEMA' : 'FORBIDDEN', error.message, { refs, cause: error });
}

function loaded({ state: { watching } }: VerbContext): Watching {
  if (watching === null) throw modelLoading();
  return watching;
}

function modelLoading(): RequestError {
  return new RequestError('MODEL_LOADING', 'The model is being loaded', { retryAfterMs: 2000 });
}

/** A query that has ended. */
function count({ metrics }: VerbContext, outcome: QueryOutcome | null, status: string): void {
  metrics.answered({ watch: null, status, timing: outcome?.timing ?? null, tokens: outcome?.tokens ?? null });
}

/** Without a name: the only one there is. */
function cameraOf(context: VerbContext, id: string | undefined): Camera {
  const { cameras } = loaded(context);
  const all = cameras.all();
  const camera = id === undefined ? (all.length === 1 ? all[0] : undefined) : cameras.get(id);
  if (camera === undefined) throw unknownCamera(context, id);
  return camera;
}

function unknownCamera(context: VerbContext, id: string | undefined): RequestError {
  const known = loaded(context)
    .cameras.all()
    .map((camera) => camera.id);
  const received = id === undefined ? 'none' : JSON.stringify(id);
  return new RequestError('UNKNOWN_CAMERA', `camera: expected one of ${known.join(', ') || '(there is none)'}, received ${received}`, {
    refs: [{ key: 'camera', value: id ?? '' }],
  });
}

function knownWatch(context: VerbContext, id: string): WatchSpec {
  const { watches } = context.changer.config;
  const spec = own(watches, id);
  if (spec !== undefined) return spec;
  const known = Object.keys(watches).join(', ') || '(there is none)';
  throw new RequestError('UNKNOWN_WATCH', `watch: expected one of ${known}, received ${JSON.stringify(id)}`, { refs: [{ key: 'watch', value: id }] });
}
