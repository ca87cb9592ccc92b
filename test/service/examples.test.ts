import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/service/config/config.js';
import { configReference } from '../../src/service/config/reference.js';
import { configShape, type SettingShape } from '../../src/service/config/shape.js';
import { MAIN, ROOT } from '../cli/run.js';

const CONFIG = join(ROOT, 'examples', 'config.yaml');
const UNIT = join(ROOT, 'examples', 'mipha.service');

/** Names of all settings, ids left out: `cameras.uri`, `watches.answer.min`. */
function settings(shape: SettingShape = configShape(), above: string[] = []): string[] {
  const parts = [shape, ...(shape.oneOf ?? [])];
  const named = parts.flatMap(({ properties }) => Object.entries(properties ?? {}));
  if (typeof shape.additionalProperties === 'object') return settings(shape.additionalProperties, above);
  if (named.length === 0) return [above.join('.')];
  return [...new Set(named.flatMap(([key, child]) => settings(child, [...above, key])))];
}

describe('docs/configuration.md', () => {
  it('is what the schema gives (node scripts/docs.mjs)', async () => {
    expect(await readFile(join(ROOT, 'docs', 'configuration.md'), 'utf8')).toBe(configReference());
  });

  it('names every setting once', () => {
    const rows = [...configReference().matchAll(/^\| `([^`]+)` \|/gm)].map(([, path]) => (path as string).replace('.ID.', '.'));
    expect(rows.sort()).toEqual(settings().sort());
    expect(rows.length).toBeGreaterThan(50);
  });
});

describe('examples/config.yaml', () => {
  it('is right', async () => {
    const { config } = await loadConfig({ file: CONFIG, env: {} });
    expect(Object.keys(config.watches)).toEqual(['lamp', 'person', 'balls', 'cup', 'scene']);
  });

  it('has every setting, and is right with those that are commented out too', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mipha-example-'));
    try {
      const whole = (await readFile(CONFIG, 'utf8'))
        .replace(/^(\s*)# (\w+: )/gm, '$1$2')
        .replace('mqtt://127.0.0.1:1883', 'mqtts://broker.example:8883');
      const file = join(folder, 'whole.yaml');
      await writeFile(file, whole);
      const { input } = await loadConfig({ file, env: {}, checkFiles: false });
      const written = new Set(leaves(input).map((path) => path.replace(/^(cameras|watches|labels)\.[^.]+/, '$1')));
      expect(settings().filter((path) => !written.has(path))).toEqual([]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('tells the defaults as they are', async () => {
    const { config: shown } = await loadConfig({ file: CONFIG, env: {} });
    const { config: bare } = await loadConfig({ env: { MIPHA_CONFIG_NODE: 'kitchen-1' } });
    expect({ ...shown, cameras: {}, watches: {} }).toEqual({ ...bare, cameras: {}, watches: {} });
  });
});

describe('examples/mipha.service', () => {
  it.skipIf(spawnSync('systemd-analyze', ['--version']).error !== undefined)('is accepted by systemd, where that is installed', () => {
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', UNIT], { encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('runs commands that exist, restarts, is watched, and sets settings that exist', async () => {
    const lines = (await readFile(UNIT, 'utf8')).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const sections = lines.filter((line) => line.startsWith('['));
    expect(sections).toEqual(['[Unit]', '[Service]', '[Install]']);
    const rest = lines.filter((line) => !line.startsWith('['));
    expect(rest.filter((line) => !/^[A-Z][A-Za-z]+=/.test(line))).toEqual([]);
    for (const line of ['Type=notify', 'NotifyAccess=all', 'Restart=always', 'ProtectSystem=strict', 'DynamicUser=yes']) expect(rest).toContain(line);
    const env = Object.fromEntries(
      rest.flatMap((line) => /^Environment=(\w+)=(.*)$/.exec(line)?.slice(1, 3).join('\n') ?? []).map((pair) => pair.split('\n')),
    );
    expect(Object.keys(env).length).toBeGreaterThan(1);
    const { config } = await loadConfig({ env: { ...env, MIPHA_CONFIG_NODE: 'n', MIPHA_CONFIG_MQTT__USERNAME: 'n' }, checkFiles: false });
    expect(config.mqtt.password_file).toBe('/run/credentials/mipha.service/mqtt-password');
    const stop = Number(/^TimeoutStopSec=(\d+)$/m.exec(rest.join('\n'))?.[1]);
    expect(stop * 1000).toBeGreaterThan(2 * config.shutdown_ms);
    for (const line of rest.filter((each) => /^Exec(Start|StartPre)=/.test(each))) {
      const [, command = ''] = /^Exec\w+=\/usr\/bin\/env mipha ([a-z-]+) /.exec(line) ?? [];
      const help = spawnSync(process.execPath, [MAIN, command, '--help'], { encoding: 'utf8' });
      expect(help.stdout).toContain(`Usage: mipha ${command}`);
    }
  });
});

function leaves(value: unknown, path: string[] = []): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [path.join('.')];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, [...path, key]));
}
