import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schemaNames } from '../../src/service/json-schemas.js';
import { mipha } from './in-process.js';
import { ROOT } from './run.js';

const EXAMPLE = join(ROOT, 'examples', 'config.yaml');
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-cli-config-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(text: string): Promise<string> {
  const path = join(folder, 'mipha.yaml');
  await writeFile(path, text);
  return path;
}

describe('mipha check-config', () => {
  it('says that a right one is right, on one line', async () => {
    const { code, stdout, stderr } = await mipha('check-config', EXAMPLE);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(`${EXAMPLE} is right: node kitchen-1, 1 camera, 5 watches\n`);
  });

  it('lists everything that is wrong', async () => {
    const path = await file('node: n\nmqtt:\n  urll: x\nlog: { level: inf }\n');
    const { code, stdout } = await mipha('check-config', path, '--set', 'http.port=0');
    expect(code).toBe(1);
    expect(stdout).toBe(`mqtt.urll  (${path}:3:3)
  expected  one of the names url, protocol, username, password_file, ca_file, cert_file, key_file, allow_plaintext, keepalive_s, max_packet_bytes, reply_topics, pool, pool_filter, discovery
  received  "urll"
  meant?    url
log.level  (${path}:4:8)
  expected  one of trace, debug, info, warn, error, fatal
  received  "inf"
  meant?    info
http.port  (--set http.port)
  expected  a whole number from 1 to 65535
  received  the number 0

${path}: 3 problems
`);
  });

  it('gives both as JSON', async () => {
    const right = await mipha('check-config', EXAMPLE, '--json');
    expect([right.code, JSON.parse(right.stdout)]).toEqual([0, { ok: true, issues: [], warnings: [] }]);
    const wrong = await mipha('check-config', await file('node: n\nlog: 1'), '--json');
    expect([wrong.code, JSON.parse(wrong.stdout)]).toMatchObject([1, { ok: false, issues: [{ path: 'log', line: 2, origin: 'file' }] }]);
  });

  it('warns of what may come later', async () => {
    const { code, stderr } = await mipha('check-config', await file('node: n\ncameras: { a: { uri: file://absent.mp4 } }'));
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: cameras\.a\.uri: .*absent\.mp4 is not there now/);
  });

  it('says what is wrong with the file itself', async () => {
    const { code, stdout } = await mipha('check-config', join(folder, 'absent.yaml'));
    expect(code).toBe(1);
    expect(stdout).toContain('expected  a readable file');
    const twice = await mipha('check-config', await file('node: a\nnode: b\n'));
    expect(twice.stdout).toMatch(/^the file {2}\(.*mipha\.yaml:2:1\)\n {2}expected {2}YAML\n {2}received {2}Map keys must be unique\n/);
    expect((await mipha('check-config')).code).toBe(2);
    expect((await mipha('check-config', EXAMPLE, '--set', 'port')).code).toBe(2);
  });
});

describe('mipha print-config', () => {
  it('shows every setting with its origin, and no password', async () => {
    const path = await file('node: n\ncameras: { front: { uri: "rtsp://admin:hunter2@cam/live" } }\nlog: { level: warn }');
    const { code, stdout } = await mipha('print-config', path, '--set', 'http.port=8080');
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^cameras\\.front\\.uri +"rtsp://\\*\\*\\*@cam/live" {2}# file ${path}:2$`, 'm'));
    expect(stdout).toMatch(/^http\.port +8080 {2}# flag --set http\.port$/m);
    expect(stdout).toMatch(/^mqtt\.url +"mqtt:\/\/127\.0\.0\.1:1883" {2}# default$/m);
    expect(stdout).not.toContain('hunter2');
    expect((await mipha('print-config', path, '--no-redacted')).stdout).toContain('hunter2');
    const rows = JSON.parse((await mipha('print-config', path, '--json')).stdout) as { path: string }[];
    expect(rows).toContainEqual({ path: 'log.level', value: 'warn', origin: 'file', source: `${path}:3` });
    expect(rows).toContainEqual({ path: 'watches', value: {}, origin: 'default' });
  });
});

describe('mipha schema', () => {
  it('lists its names', async () => {
    const { code, stdout } = await mipha('schema');
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${schemaNames.join('\n')}\n` });
    expect(schemaNames).toEqual(expect.arrayContaining(['result', 'health', 'query-request', 'query-response', 'watch-put-request', 'config']));
  });

  it('prints each as JSON Schema', async () => {
    for (const name of schemaNames) {
      const { code, stdout } = await mipha('schema', name);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ $schema: expect.stringContaining('json-schema.org'), title: `mipha-edge ${name}` });
    }
  });

  it('is open where the node sends, and strict where a typing error would be silent', async () => {
    const result = JSON.parse((await mipha('schema', 'result')).stdout) as Record<string, unknown>;
    expect(JSON.stringify(result)).not.toContain('"additionalProperties":false');
    expect(result.required).toContain('valid_until');
    const config = JSON.parse((await mipha('schema', 'config')).stdout) as Record<string, unknown>;
    expect(config).toMatchObject({ additionalProperties: false, required: ['node'] });
    expect(JSON.stringify(config)).not.toMatch(/"(restart|local|words)":/);
  });

  it('writes all of them', async () => {
    const out = join(folder, 'schemas', 'v1');
    expect((await mipha('schema', '--out', out)).code).toBe(0);
    expect((await readdir(out)).sort()).toEqual(schemaNames.map((name) => `${name}.schema.json`).sort());
    expect(JSON.parse(await readFile(join(out, 'config.schema.json'), 'utf8'))).toHaveProperty('properties.node');
  });

  it('refuses others', async () => {
    const { code, stderr } = await mipha('schema', 'results');
    expect(code).toBe(2);
    expect(stderr).toContain('did you mean result?');
    expect((await mipha('schema', 'result', '--out', folder)).code).toBe(2);
  });
});
