import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { maskSecrets, readSecret } from '../../src/service/secrets.js';
import { StateDir } from '../../src/service/state-dir.js';
import { ROOT } from '../cli/run.js';
import { counts } from '../support/counts.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-state-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const SPEC = { camera: 'front', question: 'Is the door open?' };

async function opened(path: string | undefined) {
  const warnings: string[] = [];
  const state = new StateDir(path, { onWarning: (message) => warnings.push(message) });
  await state.open();
  return { state, warnings };
}

describe('the state folder', () => {
  it('keeps the client id', async () => {
    const path = join(folder, 'a', 'b');
    const { state } = await opened(path);
    expect(state.clientSuffix).toMatch(/^[0-9a-f]{8}$/);
    expect((await opened(path)).state.clientSuffix).toBe(state.clientSuffix);
    expect((await opened(join(folder, 'c'))).state.clientSuffix).not.toBe(state.clientSuffix);
  });

  it('keeps changes', async () => {
    const { state } = await opened(folder);
    expect(await state.putWatch('door', SPEC)).toBe(true);
    expect(await state.putWatch('gone', SPEC)).toBe(true);
    expect(await state.deleteWatch('gone', false)).toBe(true);
    expect(await state.deleteWatch('configured', true)).toBe(true);
    expect(await state.putOptions({ log: { level: 'debug' }, http: null }, {})).toBe(true);
    expect(
      await state.putOptions(
        { log: { level: null, mqtt: true }, watches: { door: { interval_ms: 5 }, old: null } },
        { door: { ...SPEC, interval_ms: 5 } },
      ),
    ).toBe(true);
    const { state: again, warnings } = await opened(folder);
    expect(warnings).toEqual([]);
    expect(again.changes).toMatchObject({
      options: { log: { level: null, mqtt: true }, http: null },
      watches: { door: { ...SPEC, interval_ms: 5 }, configured: null, old: null },
    });
    expect(Object.keys(again.changes.watches).sort()).toEqual(['configured', 'door', 'old']);
    expect((await readdir(folder)).sort()).toEqual(['changes.json', 'client-id']);
  });

  it('writes what comes during a write too', async () => {
    const { state } = await opened(folder);
    const kept = await Promise.all(Array.from({ length: 200 }, (_, n) => state.putWatch(`w${n}`, SPEC)));
    expect(kept.every(Boolean)).toBe(true);
    expect(Object.keys((await opened(folder)).state.changes.watches)).toHaveLength(200);
    void state.putWatch('last', SPEC);
    await state.flush();
    expect((await opened(folder)).state.changes.watches).toHaveProperty('last');
  });

  it('may be left out: then everything ends with the process', async () => {
    const { state } = await opened(undefined);
    expect(await state.putWatch('door', SPEC)).toBe(false);
    expect(state.changes.watches).toHaveProperty('door');
    expect(state.clientSuffix).toMatch(/^[0-9a-f]{8}$/);
  });

  it.each([
    ['no JSON', '{ "version": 1, "opt'],
    ['another version', '{ "version": 2, "options": {}, "watches": {} }'],
    ['a watch that is none', '{ "version": 1, "options": {}, "watches": { "door": { "camera": 7 } } }'],
    ['a list', '[]'],
  ])('sets a damaged file aside: %s', async (_, text) => {
    await writeFile(join(folder, 'changes.json'), text);
    const { state, warnings } = await opened(folder);
    expect(state.changes).toEqual({ options: {}, watches: {} });
    expect(warnings).toEqual([expect.stringContaining('changes.json is damaged and set aside')]);
    expect(await readFile(join(folder, 'changes.json.damaged'), 'utf8')).toBe(text);
    expect(await state.putWatch('door', SPEC)).toBe(true);
    expect((await opened(folder)).warnings).toEqual([]);
  });

  it('gets a new client id for a damaged one, with a warning', async () => {
    await writeFile(join(folder, 'client-id'), 'what/ever');
    const { state, warnings } = await opened(folder);
    expect(warnings).toHaveLength(1);
    expect((await opened(folder)).state.clientSuffix).toBe(state.clientSuffix);
  });

  it('survives half a write of the one before', async () => {
    const { state } = await opened(folder);
    await state.putWatch('door', SPEC);
    await writeFile(join(folder, '.changes.json.new'), '{ "versi');
    expect((await opened(folder)).state.changes.watches).toHaveProperty('door');
    await state.putWatch('lamp', SPEC);
    expect((await readdir(folder)).sort()).toEqual(['changes.json', 'client-id']);
  });

  it('has everything it has confirmed, whenever the process is killed', async () => {
    const program = `import { StateDir } from './dist/service/state-dir.js';
      const state = new StateDir(${JSON.stringify(folder)});
      await state.open();
      const first = Object.keys(state.changes.watches).length;
      for (let n = first; ; n++) {
        await state.putWatch('w' + n, { camera: 'front', question: 'x'.repeat(500) });
        process.stdout.write(n + '\\n');
      }`;
    const rounds = counts(4, 8);
    let confirmed = -1;
    for (let round = 0; round < rounds; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (more: string) => {
        text += more;
        if (text.split('\n').length > 3 + round * 2) child.kill('SIGKILL');
      });
      await once(child, 'close');
      confirmed = Math.max(confirmed, ...(text.match(/\d+(?=\n)/g) ?? []).map(Number));
      const { state, warnings } = await opened(folder);
      expect(warnings).toEqual([]);
      expect(state.changes.watches).toHaveProperty(`w${confirmed}`);
    }
    expect(confirmed).toBeGreaterThan(rounds);
  });

  it('says false, and why, when it cannot write', async () => {
    const { state, warnings } = await opened(folder);
    await rm(folder, { recursive: true });
    expect(await state.putWatch('door', SPEC)).toBe(false);
    expect(warnings).toEqual([expect.stringContaining('could not be kept')]);
    expect(state.changes.watches).toHaveProperty('door');
  });

  it('is an error of the configuration when it cannot be made', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(opened(join(folder, 'file', 'x'))).rejects.toMatchObject({ code: 'ERR_CONFIG', message: expect.stringContaining('state_dir') });
  });
});

describe('a secret', () => {
  const file = () => join(folder, 'password');

  it('is the content of its file without one newline', async () => {
    for (const [content, text] of [
      ['hunter2\n', 'hunter2'],
      ['hunter2\r\n', 'hunter2'],
      [' a b \n\n', ' a b \n'],
      ['ünï', 'ünï'],
      ['', ''],
    ] as const) {
      await writeFile(file(), content, { mode: 0o600 });
      expect(await readSecret(file(), 'mqtt.password_file')).toEqual({ text, warning: null });
    }
  });

  it('draws a warning when everybody can read it', async () => {
    await writeFile(file(), 'hunter2');
    await chmod(file(), 0o644);
    const { warning } = await readSecret(file(), 'mqtt.password_file');
    expect(warning).toContain('chmod o-r');
    expect(warning).not.toContain('hunter2');
  });

  it.each([
    ['absent', async () => {}],
    ['a folder', async (path: string) => symlink(folder, path)],
    ['a pipe', async (path: string) => void execFileSync('mkfifo', [path])],
    ['too large', async (path: string) => writeFile(path, 'hunter2'.repeat(10_000))],
  ])('is refused when it is %s', async (_, make) => {
    await make(file());
    const failure = await readSecret(file(), 'mqtt.password_file').then(
      () => null,
      (error) => error,
    );
    expect(failure).toMatchObject({ code: 'ERR_CONFIG', details: { issues: [{ path: 'mqtt.password_file' }] } });
    expect(JSON.stringify([failure.message, failure.details])).not.toContain('hunter2');
  });
});

describe('a masked text', () => {
  it.each([
    ['rtsp://admin:a%40b@cam/live?x=1', 'rtsp://***@cam/live?x=1'],
    ['rtsp://admin:p@ss/wo@cam/live', 'rtsp://***@cam/live'],
    ['mqtts://broker:8883', 'mqtts://broker:8883'],
    ['rtsp://admin@cam, mail me@example.org', 'rtsp://***@cam, mail me@example.org'],
    ['gst:rtspsrc user-id=bob user-pw=x ! a', 'gst:rtspsrc user-id=*** user-pw=*** ! a'],
    ['images:///srv/a@2x.png', 'images:///srv/a@2x.png'],
    ['http://cam/shot?password=x&size=1', 'http://cam/shot?password=***&size=1'],
    ['{"uri":"rtsp://u:p@h","to":"a@b"}', '{"uri":"rtsp://***@h","to":"a@b"}'],
  ])('%s', (text, masked) => {
    expect(maskSecrets(text)).toBe(masked);
  });

  it.each(['://a:', 'rtsp://a:b', 'password=', 'user-pw=\\"'])('does not take long for 1 MB of %j', (part) => {
    const begin = performance.now();
    maskSecrets(part.repeat(1e6 / part.length));
    expect(performance.now() - begin).toBeLessThan(5000); // milliseconds in fact; what grows with the square takes minutes
  });
});
