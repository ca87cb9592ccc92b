import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkSecretFile } from '../../src/service/secrets.js';
import { StateDir } from '../../src/service/state/state-dir.js';
import { ROOT } from '../cli/run.js';
import { counts } from '../support/counts.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-state-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** As a node opens it; a lock of the one before goes with its close(). */
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
    await state.close();
    expect((await opened(path)).state.clientSuffix).toBe(state.clientSuffix);
    expect((await opened(join(folder, 'c'))).state.clientSuffix).not.toBe(state.clientSuffix);
  });

  it('keeps overrides as they are', async () => {
    const { state } = await opened(folder);
    const overrides = { log: { level: 'debug' }, watches: { door: { interval_ms: 5 }, old: null } };
    expect(await state.keep(overrides)).toBe(true);
    await state.close();
    const { state: again, warnings } = await opened(folder);
    expect(warnings).toEqual([]);
    expect(again.overrides).toEqual(overrides);
    await again.close();
    expect((await readdir(folder)).sort()).toEqual(['client-id', 'overrides.json']);
    expect(JSON.parse(await readFile(join(folder, 'overrides.json'), 'utf8'))).toEqual({ version: 1, overrides });
  });

  it('writes what comes during a write too', async () => {
    const { state } = await opened(folder);
    const kept = await Promise.all(Array.from({ length: 200 }, (_, n) => state.keep({ shutdown_ms: n })));
    expect(kept.every(Boolean)).toBe(true);
    void state.keep({ shutdown_ms: 1000 });
    await state.close();
    expect((await opened(folder)).state.overrides).toEqual({ shutdown_ms: 1000 });
  });

  it('may be left out: then everything ends with the process', async () => {
    const { state } = await opened(undefined);
    expect(await state.keep({ shutdown_ms: 1 })).toBe(false);
    expect(state.overrides).toEqual({ shutdown_ms: 1 });
    expect(state.clientSuffix).toMatch(/^[0-9a-f]{8}$/);
    expect(await state.beginStart()).toBe(0);
    await state.close();
  });

  it.each([
    ['no JSON', '{ "version": 1, "overr'],
    ['another version', '{ "version": 2, "overrides": {} }'],
    ['a list', '[]'],
    ['overrides that are none', '{ "version": 1, "overrides": [] }'],
  ])('sets a damaged file aside: %s', async (_, text) => {
    await writeFile(join(folder, 'overrides.json'), text);
    const { state, warnings } = await opened(folder);
    expect(state.overrides).toEqual({});
    expect(warnings).toEqual([expect.stringContaining('overrides.json is damaged and set aside')]);
    expect(await readFile(join(folder, 'overrides.json.damaged'), 'utf8')).toBe(text);
    expect(await state.keep({ shutdown_ms: 1 })).toBe(true);
    await state.close();
    expect((await opened(folder)).warnings).toEqual([]);
  });

  it('is for one process at a time', async () => {
    const { state } = await opened(folder);
    await expect(new StateDir(folder).open()).rejects.toMatchObject({ code: 'ERR_BUSY', message: expect.stringContaining(`process ${process.pid}`) });
    await state.close();
    await opened(folder);
  });

  it('counts starts that nobody finished, and asks to do without the overrides after two, or after five when a node has started with them', async () => {
    const starts: number[] = [];
    const begin = async () => {
      const { state } = await opened(folder); // and dies
      starts.push(await state.beginStart());
      await rm(join(folder, 'lock'));
      return state;
    };
    await (await opened(folder)).state.keep({ model: { threads: 1000 } });
    await rm(join(folder, 'lock'));
    for (let n = 0; n < 7; n++) await begin();
    expect(starts).toEqual([0, 0, 2, 0, 0, 5, 0]); // without them it died as well: they are not the reason, and are tried again
    const state = await begin();
    await state.finishStart();
    starts.length = 0;
    for (let n = 0; n < 6; n++) await begin();
    expect(starts).toEqual([0, 0, 0, 0, 0, 5]);
    await (await begin()).endStart();
    await (await begin()).keep({ model: { threads: 1000 }, watches: { door: { enabled: false } } }); // in force while a node ran
    starts.length = 0;
    for (let n = 0; n < 3; n++) await begin();
    await (await begin()).keep({ model: { threads: 999 } });
    for (let n = 0; n < 2; n++) await begin();
    expect(starts).toEqual([0, 0, 0, 0, 5, 0]);
    await writeFile(join(folder, 'starts.json'), 'damaged');
    await begin();
    expect(starts.at(-1)).toBe(0);
  });

  it('sets overrides aside whole, but not before the node runs without them or others are kept', async () => {
    const { state } = await opened(folder);
    await state.keep({ shutdown_ms: 1 });
    state.suspend();
    expect(state.overrides).toEqual({});
    await state.close();
    const { state: again } = await opened(folder);
    expect(again.overrides).toEqual({ shutdown_ms: 1 });
    again.suspend();
    await again.keep({ shutdown_ms: 2 });
    const aside = await again.setAside();
    expect(aside).toMatch(/overrides\.json\.dropped-2/);
    expect(JSON.parse(await readFile(aside as string, 'utf8')).overrides).toEqual({ shutdown_ms: 1 });
    expect(again.overrides).toEqual({ shutdown_ms: 2 });
    await again.close();
    expect((await opened(folder)).state.overrides).toEqual({ shutdown_ms: 2 });
  });

  it('gets a new client id for a damaged one, with a warning', async () => {
    await writeFile(join(folder, 'client-id'), 'what/ever');
    const { state, warnings } = await opened(folder);
    expect(warnings).toHaveLength(1);
    await state.close();
    expect((await opened(folder)).state.clientSuffix).toBe(state.clientSuffix);
  });

  it('survives half a write of the one before', async () => {
    const { state } = await opened(folder);
    await state.keep({ shutdown_ms: 1 });
    await state.close();
    await writeFile(join(folder, '.overrides.json.new'), '{ "versi');
    const { state: again } = await opened(folder);
    expect(again.overrides).toEqual({ shutdown_ms: 1 });
    await again.keep({ shutdown_ms: 2 });
    await again.close();
    expect((await readdir(folder)).sort()).toEqual(['client-id', 'overrides.json']);
  });

  it('has everything it has confirmed, whenever the process is killed', async () => {
    const program = `import { StateDir } from './dist/service/state/state-dir.js';
      const state = new StateDir(${JSON.stringify(folder)});
      await state.open();
      for (let n = state.overrides.shutdown_ms ?? 0; ; n++) {
        await state.keep({ shutdown_ms: n, padding: 'x'.repeat(500 * (n % 100)) });
        process.stdout.write(n + '\\n');
      }`;
    const rounds = counts(3, 8);
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
      expect(state.overrides.shutdown_ms).toBeGreaterThanOrEqual(confirmed);
      await state.close();
    }
    expect(confirmed).toBeGreaterThan(rounds);
  });

  it('says false, and why, when it cannot write', async () => {
    const { state, warnings } = await opened(folder);
    await rm(folder, { recursive: true });
    expect(await state.keep({ shutdown_ms: 1 })).toBe(false);
    expect(warnings).toEqual([expect.stringContaining('could not be kept')]);
    expect(state.overrides).toEqual({ shutdown_ms: 1 });
  });

  it('is an error of the configuration when it cannot be made', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(opened(join(folder, 'file', 'x'))).rejects.toMatchObject({ code: 'ERR_CONFIG', message: expect.stringContaining('state_dir') });
  });
});

describe('the file of a secret', () => {
  const file = () => join(folder, 'password');

  it('draws a warning when everybody can read it', async () => {
    await writeFile(file(), 'hunter2');
    await chmod(file(), 0o644);
    const warning = await checkSecretFile(file(), 'mqtt.password_file');
    expect(warning).toContain('chmod o-r');
    await chmod(file(), 0o600);
    expect(await checkSecretFile(file(), 'mqtt.password_file')).toBeNull();
  });

  it.each([
    ['absent', async () => {}],
    ['a folder', async (path: string) => symlink(folder, path)],
    ['a pipe', async (path: string) => void execFileSync('mkfifo', [path])],
    ['too large', async (path: string) => writeFile(path, 'hunter2'.repeat(10_000))],
  ])('is refused when it is %s', async (_, make) => {
    await make(file());
    const failure = await checkSecretFile(file(), 'mqtt.password_file').then(
      () => null,
      (error) => error,
    );
    expect(failure).toMatchObject({ code: 'ERR_CONFIG', details: { issues: [{ path: 'mqtt.password_file' }] } });
    expect(JSON.stringify([failure.message, failure.details])).not.toContain('hunter2');
  });
});
