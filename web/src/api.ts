/** What is asked of the node. */
import type { Response as Answer } from '../../src/mqtt/messages.js';

export class Refused extends Error {
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
  }
}

/** Throws Refused, in the words of the node, and where it cannot be reached. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await checked(await reached(fetch(path, signal === undefined ? {} : { signal })))).json() as Promise<T>;
}

export async function post<T>(path: string, body: string | object, headers: Record<string, string> = {}): Promise<T> {
  return (
    await checked(await reached(fetch(path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers })))
  ).json() as Promise<T>;
}

/** The `data` of the response to a verb. */
export async function request<T>(verb: string, body: object): Promise<T> {
  return (await post<Answer>(`api/request/${verb}`, body)).data as T;
}

export interface ServerEvent {
  event: string;
  data: string;
}

/** The events of a response that is streamed. */
export async function* streamed(path: string, body: object, signal: AbortSignal, headers: Record<string, string> = {}): AsyncGenerator<ServerEvent> {
  const init = { method: 'POST', body: JSON.stringify(body), headers: { accept: 'text/event-stream', ...headers }, signal };
  const response = await checked(await reached(fetch(path, init)));
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop() as string;
    for (const block of blocks) yield eventOf(block);
  }
}

function eventOf(block: string): ServerEvent {
  const field = (name: string) =>
    block
      .split('\n')
      .filter((line) => line.startsWith(`${name}:`))
      .map((line) => line.slice(name.length + 1).trimStart())
      .join('\n');
  return { event: field('event') || 'message', data: field('data') };
}

async function reached(response: Promise<Response>): Promise<Response> {
  return await response.catch((error: Error) => {
    throw error.name === 'AbortError' ? error : new Refused('The node cannot be reached', 'UNREACHABLE');
  });
}

async function checked(response: Response): Promise<Response> {
  if (response.ok) return response;
  const { error } = (await response.json().catch(() => ({}))) as { error?: { code?: string; message?: string } };
  throw new Refused(error?.message ?? `The node answers ${response.status}`, error?.code ?? String(response.status));
}
