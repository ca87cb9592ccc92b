/** A picture from stdin, without a process: what a shell can put there. */
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { readStdin } from '../../src/cli/stdin.js';

function stdin(isTTY = false): NodeJS.ReadStream & PassThrough {
  return Object.assign(new PassThrough(), { isTTY }) as unknown as NodeJS.ReadStream & PassThrough;
}
const never = new AbortController().signal;

it('comes in pieces', async () => {
  const stream = stdin();
  const reading = readStdin(never, stream);
  for (const piece of ['ab', 'c', 'def']) stream.write(piece);
  stream.end();
  expect(Buffer.from(await reading).toString()).toBe('abcdef');
});

it('does not come from a terminal: nobody types one', async () => {
  await expect(readStdin(never, stdin(true))).rejects.toMatchObject({
    code: 'ERR_OPTION',
    message: expect.stringMatching(/received a terminal.* < picture\.jpg/),
  });
});

it('is waited for until Ctrl-C', async () => {
  const controller = new AbortController();
  const reading = readStdin(controller.signal, stdin());
  setTimeout(() => controller.abort(new Error('interrupted')), 10);
  await expect(reading).rejects.toThrow('interrupted');
});

it('ends at a limit, so that no memory is filled', async () => {
  const stream = stdin();
  const piece = Buffer.alloc(64 * 1024 * 1024);
  const reading = readStdin(never, stream);
  const refused = expect(reading).rejects.toMatchObject({ code: 'ERR_IMAGE', message: expect.stringMatching(/at most 268435456 bytes/) });
  for (let i = 0; i < 5; i++) stream.write(piece);
  await refused;
  expect(stream.destroyed).toBe(true);
});

it('that breaks is no picture', async () => {
  const stream = stdin();
  const reading = readStdin(never, stream);
  stream.destroy(new Error('broken'));
  await expect(reading).rejects.toMatchObject({ code: 'ERR_IMAGE', message: 'stdin: broken' });
});
