import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import type { Answerer } from '../../src/http/answerer.js';
import { chatRoutes } from '../../src/http/chat.js';
import { JSON_TYPE, open, say } from './support.js';

const BODY = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Is it?' }], stream: true });

function answering(answer: Answerer['answer']): Answerer {
  return { model: () => ({ name: 'm', revision: 'r', context: 512 }), checkRoom: () => {}, answer };
}

it.each([
  ['of ours', new Error('broken in /srv/secret.ts'), { code: 'internal_error', type: 'server_error' }, 1],
  ['with a code', new MiphaError('ERR_DEADLINE', 'too late'), { code: 'deadline_exceeded', mipha: { code: 'ERR_DEADLINE' } }, 0],
] as const)('an error %s ends a stream that has begun in words, and is logged where it is a fault', async (_, error, told, faults) => {
  const answerer = answering(async (_job, { onText }) => {
    onText?.('Ye');
    await new Promise((resolve) => setTimeout(resolve, 20));
    throw error;
  });
  await using port = await open({ mounts: [chatRoutes(answerer)] });
  const { status, text } = await say(port.port, '/v1/chat/completions', { method: 'POST', headers: JSON_TYPE, body: BODY });
  const events = text
    .trim()
    .split('\n\n')
    .map((event) => JSON.parse(event.replace('data: ', '')));
  expect(status).toBe(200);
  expect(events.map(({ choices }) => choices?.[0].delta.content)).toEqual(['', 'Ye', undefined]);
  expect(events[2].error).toMatchObject(told);
  expect(text).not.toMatch(/secret|DONE/);
  expect(port.faults).toHaveLength(faults);
});

it.each([true, false])('who leaves is not answered any longer (stream: %s)', async (stream) => {
  let aborted = () => {};
  const noticed = new Promise<void>((resolve) => (aborted = resolve));
  let begun = () => {};
  const asked = new Promise<void>((resolve) => (begun = resolve));
  const answerer = answering(
    async (_job, { signal, onText }) =>
      await new Promise((_resolve, reject) => {
        onText?.('Ye');
        signal.addEventListener('abort', () => {
          aborted();
          reject(signal.reason);
        });
        begun();
      }),
  );
  await using port = await open({ mounts: [chatRoutes(answerer)] });
  const socket = connect(port.port, '127.0.0.1');
  await once(socket, 'connect');
  const body = JSON.stringify({ ...JSON.parse(BODY), stream });
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await asked;
  if (stream) expect(String((await once(socket, 'data'))[0])).toContain('text/event-stream');
  socket.destroy();
  await noticed;
  expect((await say(port.port, '/livez')).status).toBe(200);
  expect(port.faults).toEqual([]);
});
