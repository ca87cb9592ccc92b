/** The npm package is replaced by another version and back, as npm does it: whole folders. Nothing that a node keeps is in them. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listen, ROOT as NODE } from '../service/support.js';
import { startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { node, ROOT } from './run.js';

const PLATFORM = `linux-${process.arch}`;
const VERSIONS = ['0.0.9', '0.1.0', '0.0.9'];

let folder = '';
/** What of the package a node needs; cli/installed has all of it. */
const unpacked = () => join(folder, 'package');
const project = () => join(folder, 'project');
const main = () => join(project(), 'node_modules', 'mipha-edge', 'dist', 'cli', 'main.js');
const config = () => join(folder, 'etc', 'mipha.yaml');
const state = (name = '') => join(folder, 'state', name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-upgrade-'));
  for (const path of ['package.json', 'dist', 'models/mipha-nano', 'scripts'])
    await cp(join(ROOT, path), join(unpacked(), path), { recursive: true });
  const modules = join(project(), 'node_modules');
  await mkdir(modules, { recursive: true });
  const here = (await readdir(join(ROOT, 'node_modules'))).filter((name) => !['.bin', 'mipha-edge', '@mipha-edge'].includes(name));
  for (const name of here) await symlink(join(ROOT, 'node_modules', name), join(modules, name));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What npm leaves: the two packages whole, in this version, and nothing of the ones before. */
async function install(version: string): Promise<void> {
  const modules = join(project(), 'node_modules');
  for (const name of ['mipha-edge', '@mipha-edge']) await rm(join(modules, name), { recursive: true, force: true });
  await cp(unpacked(), join(modules, 'mipha-edge'), { recursive: true });
  const manifest = JSON.parse(await readFile(join(unpacked(), 'package.json'), 'utf8'));
  await writeFile(join(modules, 'mipha-edge', 'package.json'), JSON.stringify({ ...manifest, version }));
  const addon = await readFile(join(ROOT, 'build', 'Release', 'mipha_edge.node'));
  const held = { bytes: addon.length, sha256: createHash('sha256').update(addon).digest('hex') };
  const platform = join(modules, '@mipha-edge', PLATFORM);
  await mkdir(platform, { recursive: true });
  await writeFile(join(platform, 'mipha_edge.node'), addon);
  await writeFile(
    join(platform, 'package.json'),
    JSON.stringify({ name: `@mipha-edge/${PLATFORM}`, version, mipha: { glibc: '2.31', files: { 'mipha_edge.node': held } } }),
  );
}

/** Lines and pictures of the record, with their bytes. */
async function record(): Promise<Map<string, Buffer>> {
  const entries = await readdir(state('record'), { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile() && /\.(ndjson|jpg)$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  return new Map(await Promise.all(paths.map(async (path) => [path, await readFile(path)] as const)));
}

const sizeOf = (files: Map<string, Buffer>) => [...files.values()].reduce((sum, { length }) => sum + length, 0);

describeWith(['mosquitto'], 'an upgrade and a downgrade of the npm package', () => {
  it('keep the configuration, what was changed over MQTT, the client and the record', async () => {
    await using mosquitto = await startMosquitto();
    await mkdir(join(folder, 'etc'));
    const text = `node: test
state_dir: ${state()}
mqtt: { url: "${mosquitto.url}", discovery: { enabled: false } }
http: { enabled: false }
cameras: { kitchen: { uri: "synthetic://kitchen?change_ms=300", images: true } }
watches: { lamp: { camera: kitchen, question: "Is the lamp on?", interval_ms: 100, record: true } }
`;
    await writeFile(config(), text);
    const clients: string[] = [];
    let before = new Map<string, Buffer>();
    for (const [n, version] of VERSIONS.entries()) {
      await install(version);
      await using ear = await listen(mosquitto.url);
      const child = spawn(process.execPath, [main(), 'run', '--config', config()], { stdio: ['ignore', 'ignore', 'inherit'] });
      try {
        const info = await until('its version', () =>
          ear
            .on('info')
            .map((message) => JSON.parse(message.text))
            .find((info) => info.version === version),
        );
        await until('online', () => ear.on('availability').some((message) => message.text === 'online' && !message.retained));
        expect(info.overrides ?? []).toEqual(n === 0 ? [] : ['watches.lamp.interval_ms']);
        if (n === 0) {
          await ear.client.publishAsync(`${NODE}/watch/lamp/interval/set`, '0.2', { qos: 1 });
          await until('the change', () => existsSync(state('overrides.json')));
        }
        await until('more on record', async () => sizeOf(await record()) > sizeOf(before) + 10_000);
      } finally {
        child.kill('SIGTERM');
        await new Promise((done) => child.once('exit', done));
      }
      clients.push(await readFile(state('client-id'), 'utf8').catch(() => ''));
      const after = await record();
      for (const [path, bytes] of before) expect(after.get(path)?.subarray(0, bytes.length).equals(bytes), path).toBe(true);
      before = after;
      const { stdout } = await node([main(), 'print-config', config()]);
      expect(stdout).toMatch(/watches\.lamp\.interval_ms +200 +# mqtt/);
      expect(await readFile(config(), 'utf8')).toBe(text);
    }
    expect(new Set(clients).size, clients.join()).toBe(1);
    expect(clients[0]).not.toBe('');
    const doctor = await node([main(), 'doctor', '--json']);
    expect(JSON.parse(doctor.stdout).addon).toMatchObject({ prebuilt: `@mipha-edge/${PLATFORM}` });
    const replayed = await node([main(), 'replay', 'lamp', '--record', state('record'), '--json']);
    expect(replayed.stdout + replayed.stderr).toContain('lamp');
  });
});
