/** `mipha serve` as a shell runs it. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EVAL, mipha } from './run.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-serve-'));
});
afterAll(() => rm(folder, { recursive: true }));

const question = async () => {
  const picture = (await readFile(join(EVAL, 'pictures', '0000.png'))).toString('base64');
  const content = [
    { type: 'text', text: 'Describe the scene.' },
    { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
  ];
  return JSON.stringify({ model: 'mipha-nano', messages: [{ role: 'user', content }] });
};

it('answers with the shipped model, lets what is under way finish on SIGTERM, and ends well', async () => {
  const body = await question();
  let begun: Promise<number> | null = null;
  const { code, stdout, stderr } = await mipha(['serve', '--port', '0'], {
    onOutput: (output, child) => {
      const [, url] = /answers at (\S+)\n/.exec(output) ?? [];
      if (url === undefined || begun !== null) return;
      const ask = async () => await fetch(`${url}/chat/completions`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
      begun = ask().then(async (first) => {
        expect(first.status).toBe(200);
        const last = ask();
        setTimeout(() => child.kill('SIGTERM'), 20);
        return (await last).status;
      });
    },
  });
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^mipha-nano answers at http:\/\/127\.0\.0\.1:\d+\/v1\n$/),
    stderr: '',
  });
  expect(await begun).toBe(200);
});

it('listens for other machines only with a token, of 256 bits', async () => {
  const bare = await mipha(['serve', '--host', '0.0.0.0', '--port', '0']);
  expect([bare.code, bare.stdout]).toEqual([2, '']);
  expect(bare.stderr).toContain('--token-file');
  const file = join(folder, 'token');
  await writeFile(file, 'short-secret\n', { mode: 0o600 });
  const short = await mipha(['serve', '--host', '0.0.0.0', '--port', '0', '--token-file', file]);
  expect([short.code, short.stdout]).toEqual([1, '']);
  expect(short.stderr).toContain('tokens of 256 bits');
  expect(short.stderr).not.toContain('short-secret');
});

it('asks for the token then', async () => {
  const token = randomBytes(32).toString('hex');
  const file = join(folder, 'token');
  await writeFile(file, `${token}\n`, { mode: 0o600 });
  let asked: Promise<number[]> | null = null;
  const { code } = await mipha(['serve', '--host', '0.0.0.0', '--port', '0', '--token-file', file], {
    onOutput: (output, child) => {
      const [, port] = /:(\d+)\/v1\n/.exec(output) ?? [];
      if (port === undefined || asked !== null) return;
      const models = async (headers: Record<string, string>) => (await fetch(`http://127.0.0.1:${port}/v1/models`, { headers })).status;
      asked = Promise.all([models({}), models({ Authorization: `Bearer ${token}` }), models({ Authorization: `Bearer ${token}0` })]).finally(() =>
        child.kill('SIGINT'),
      );
    },
  });
  expect([code, await asked]).toEqual([0, [401, 200, 401]]);
});
