/** A request for a chat completion → what is to be answered, or a Problem that names the field. */
import type { z } from 'zod';
import type { ChatJob, Picture } from './answerer.js';
import { type ChatMessage, type ChatRequest, chatSchema } from './chat-schema.js';
import { Problem } from './problem.js';
import { withBounds } from './schema-bounds.js';
import { withoutRefs } from './schema-refs.js';

const DATA_URL = /^data:image\/[a-z0-9.+-]+(?:;[a-z0-9-]+=[^;,]*)*;base64,/i;
const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/;
const CAMERA = /^camera:([a-z0-9-]{1,64})$/;
/** Where a request names none: more than most answers need, and an end for models that find none. */
const MAX_TOKENS = 512;

/** Throws a Problem. */
export function readRequest(value: unknown): ChatRequest {
  const parsed = chatSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw wrongField(parsed.error);
}

/** Throws a Problem for what the model's prompt, or the interface, cannot express. */
export function jobOf(request: ChatRequest): ChatJob {
  const { temperature, top_p: topP, seed, mipha = {} } = request;
  const schema = request.response_format?.type === 'json_schema' ? request.response_format.json_schema.schema : null;
  const stops = typeof request.stop === 'string' ? [request.stop] : (request.stop ?? []);
  if (schema !== null && stops.length > 0) throw refused('stop', 'nothing beside json_schema, which says itself where an answer ends');
  if (schema === null && request.logprobs === true) throw refused('logprobs', 'response_format json_schema beside it: other answers have none');
  if (request.stream !== true && request.stream_options != null) throw refused('stream_options', 'nothing unless stream is true');
  return {
    ...turnsOf(request.messages),
    schema: schema === null ? null : withBounds(withoutRefs(schema)),
    stops,
    maxTokens: maxTokensOf(request),
    ...(temperature == null ? {} : { temperature }),
    ...(topP == null ? {} : { topP }),
    ...(seed == null ? {} : { seed }),
    priority: mipha.priority ?? 0,
    ...(mipha.deadline_ms === undefined ? {} : { deadlineMs: mipha.deadline_ms }),
    ...(mipha.max_age_ms === undefined ? {} : { maxAgeMs: mipha.max_age_ms }),
  };
}

function maxTokensOf({ max_tokens: old, max_completion_tokens: present }: ChatRequest): number {
  if (old != null && present != null && old !== present) throw refused('max_tokens', `the same as max_completion_tokens, which is ${present}`);
  return present ?? old ?? MAX_TOKENS;
}

/**
 * Questions and answers in turn, the picture with the first question, as the models were trained; what a client says as the system stands in front of
 * the first question, since the words before the picture are the model's own.
 */
function turnsOf(messages: readonly ChatMessage[]): Pick<ChatJob, 'history' | 'question' | 'picture'> {
  const begin = messages.findIndex(({ role }) => !isSystem(role));
  const system = messages.slice(0, begin < 0 ? messages.length : begin).map(({ content }) => wordsOf(content));
  const turns = begin < 0 ? [] : messages.slice(begin);
  for (const [index, { role }] of turns.entries()) {
    const expected = index % 2 === 0 ? 'user' : 'assistant';
    if (role !== expected) throw refused(`messages[${begin + index}].role`, `${expected}: after the system's words the two take turns`);
  }
  if (turns.length % 2 === 0) throw refused('messages', 'a message of the user at the end');
  const texts = turns.map(({ content }, index) => {
    const words = wordsOf(content);
    if (words.trim() === '') throw refused(`messages[${begin + index}].content`, 'words');
    return words;
  });
  texts[0] = [...system.filter((words) => words.trim() !== ''), texts[0] as string].join('\n');
  const history = Array.from({ length: (texts.length - 1) / 2 }, (_, n) => ({
    question: texts[2 * n] as string,
    answer: texts[2 * n + 1] as string,
  }));
  return { history, question: texts.at(-1) as string, picture: pictureIn(turns, begin) };
}

function isSystem(role: ChatMessage['role']): boolean {
  return role === 'system' || role === 'developer';
}

function wordsOf(content: ChatMessage['content']): string {
  if (typeof content === 'string') return content;
  return content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
}

function pictureIn(turns: readonly ChatMessage[], begin: number): Picture | null {
  let found: Picture | null = null;
  for (const [index, { content }] of turns.entries()) {
    if (typeof content === 'string') continue;
    for (const [n, part] of content.entries()) {
      if (part.type !== 'image_url') continue;
      const param = `messages[${begin + index}].content[${n}]`;
      if (index > 0) throw refused(param, 'pictures only in the first message of the user, as the model was trained', 'picture_not_first');
      if (found !== null) throw refused(param, 'one picture: the model sees one at a time', 'too_many_pictures');
      found = pictureAt(part.image_url.url, `${param}.image_url.url`);
    }
  }
  return found;
}

function pictureAt(url: string, param: string): Picture {
  const camera = CAMERA.exec(url)?.[1];
  if (camera !== undefined) return { kind: 'camera', camera, param };
  const head = DATA_URL.exec(url.slice(0, 300))?.[0];
  const expected = 'data:image/...;base64,... or camera:NAME: nothing is fetched from other addresses';
  if (head === undefined) throw refused(param, expected, /^https?:/i.test(url.trim()) ? 'remote_picture' : 'invalid_image_url');
  const base64 = url.slice(head.length);
  if (!BASE64.test(base64)) throw refused(param, 'base64 behind the comma', 'invalid_image_url');
  return { kind: 'bytes', bytes: Buffer.from(base64, 'base64'), param };
}

function refused(param: string, expected: string, code = 'invalid_value'): Problem {
  return new Problem(400, `${param}: expected ${expected}`, { code, param, mipha: { code: 'ERR_OPTION', retryable: false } });
}

/** The issue that stands deepest of a union's branches is what was meant. */
function wrongField(error: z.ZodError): Problem {
  const { path, issue } = deepest(error.issues[0] as z.core.$ZodIssue, []);
  const own = issue.code === 'unrecognized_keys' ? [...path, issue.keys[0] as string] : path;
  const param = own.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`),
    '',
  );
  const words = issue.code === 'unrecognized_keys' ? 'this is not known here, and might change the answer' : issue.message;
  return new Problem(400, `${param || 'the body'}: ${words}`.slice(0, 500), {
    code: issue.code === 'unrecognized_keys' ? 'unknown_parameter' : 'invalid_value',
    ...(param === '' ? {} : { param: param.slice(0, 200) }),
    mipha: { code: 'ERR_OPTION', retryable: false },
  });
}

function deepest(issue: z.core.$ZodIssue, above: readonly PropertyKey[]): { path: PropertyKey[]; issue: z.core.$ZodIssue } {
  const path = [...above, ...issue.path];
  if (issue.code !== 'invalid_union') return { path, issue };
  const inner = issue.errors.flatMap((issues) => (issues[0] === undefined ? [] : [deepest(issues[0], path)]));
  return inner.reduce((best, found) => (found.path.length > best.path.length ? found : best), { path, issue: issue as z.core.$ZodIssue });
}
