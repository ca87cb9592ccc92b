import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MiphaError, type MiphaErrorOf } from '../../src/errors.js';
import { mergeOptions, replaceWatch } from '../../src/service/config/change.js';
import { type ConfigIssue, type ConfigSources, configOf, loadConfig, originOf } from '../../src/service/config/config.js';
import { diffConfig, inForce } from '../../src/service/config/diff.js';
import { recordFolderOf } from '../../src/service/config/record-folder.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-config-'));
});
afterEach(() => rm(folder, { recursive: true }));

const KITCHEN = `
node: kitchen-1
cameras:
  front: { uri: synthetic://kitchen }
watches:
  door:
    camera: front
    question: Is the door open?
`;

async function load(text: string, options: Omit<ConfigSources, 'file'> = {}) {
  const file = join(folder, 'mipha.yaml');
  await writeFile(file, text);
  return loadConfig({ file, env: {}, ...options });
}

async function issues(work: Promise<unknown>): Promise<ConfigIssue[]> {
  const error = await work.then(
    () => null,
    (reason) => reason as MiphaErrorOf<'ERR_CONFIG'>,
  );
  expect(error).toBeInstanceOf(MiphaError);
  expect(error?.code).toBe('ERR_CONFIG');
  return error?.details.issues as ConfigIssue[];
}

describe('loadConfig', () => {
  it('fills in every default', async () => {
    const { config, warnings } = await load(KITCHEN);
    expect(warnings).toEqual([]);
    expect(config).toMatchObject({
      base: 'mipha',
      node: 'kitchen-1',
      mqtt: { url: 'mqtt://127.0.0.1:1883', protocol: '5', keepalive_s: 15, discovery: { enabled: true, prefix: 'homeassistant' } },
      cameras: { front: { enabled: true, stall_ms: 10_000, images: false } },
      watches: { door: { answer: { type: 'boolean' }, interval_ms: 1000 } },
      http: { enabled: true, host: '127.0.0.1', port: 9464 },
      log: { level: 'info', format: 'json' },
    });
  });

  it('takes the environment over the file and flags over both', async () => {
    const text = `${KITCHEN}\nlog: { level: warn }\nhttp: { port: 1000 }\nshutdown_ms: 700`;
    const env = { MIPHA_CONFIG_LOG__LEVEL: 'error', MIPHA_CONFIG_HTTP__PORT: '2000', MIPHA_ISA: 'avx2' };
    const loaded = await load(text, { env, flags: [['http.port', '3000']] });
    expect(loaded.config).toMatchObject({ log: { level: 'error' }, http: { port: 3000 }, shutdown_ms: 700 });
    const origins = ['shutdown_ms', 'log.level', 'http.port', 'http.host'].map((path) => originOf(loaded, path.split('.')));
    expect(origins).toEqual(['file', 'env', 'flag', 'default']);
  });

  it('needs no file', async () => {
    const env = { MIPHA_CONFIG_NODE: 'n', MIPHA_CONFIG_CAMERAS__FRONT_DOOR__URI: 'csi://0', MIPHA_CONFIG_CAMERAS__FRONT_DOOR__IMAGES: 'true' };
    expect((await loadConfig({ env })).config.cameras).toMatchObject({ 'front-door': { uri: 'csi://0', images: true } });
  });

  it('reads lists and objects from flags, and leaves texts as they are', async () => {
    const flags = [
      ['mqtt.reply_topics', '[a/b, "c/#"]'],
      ['mqtt.protocol', '3.1.1'],
      ['mqtt.username', '0123'],
      ['watches.door.question', 'Is it: open? # or not'],
      ['watches.door.answer', '{ type: choice, choices: [on, off] }'],
      ['watches.door.agreement.of', '5'],
    ] as const;
    const { config } = await load(KITCHEN, { flags });
    expect(config.mqtt).toMatchObject({ reply_topics: ['a/b', 'c/#'], protocol: '3.1.1', username: '0123' });
    expect(config.watches.door).toMatchObject({
      question: 'Is it: open? # or not',
      answer: { type: 'choice', choices: ['on', 'off'] },
      agreement: { n: 1, of: 5 },
    });
  });

  it('takes an empty value, and null, for "not set"', async () => {
    const loaded = await load(`${KITCHEN}\nmqtt:\n  username: bob\nhttp:\nlog: { level: ~ }`, { env: { MIPHA_CONFIG_MQTT__USERNAME: '' } });
    expect(loaded.config.mqtt.username).toBeUndefined();
    expect(loaded.config).toMatchObject({ http: { port: 9464 }, log: { level: 'info' } });
    expect(originOf(loaded, ['mqtt', 'username'])).toBe('default');
  });

  it('makes paths absolute: from the file, or from the working directory', async () => {
    await mkdir(join(folder, 'pictures'));
    const text = `node: n\nstate_dir: state\ncameras: { a: { uri: images://pictures }, b: { uri: "images:///x/*.png" } }`;
    const { config } = await load(text, { env: { MIPHA_CONFIG_MODEL__FOLDER: 'models/mipha-nano' } });
    expect(config.state_dir).toBe(join(folder, 'state'));
    expect(config.cameras).toMatchObject({ a: { uri: `images://${join(folder, 'pictures')}` }, b: { uri: 'images:///x/*.png' } });
    expect(config.model.folder).toBe(join(process.cwd(), 'models', 'mipha-nano'));
  });

  it('allows anchors', async () => {
    const { config } = await load(
      `node: n\ncameras: { front: { uri: synthetic://kitchen } }\nwatches:\n  a: &w { camera: front, question: Why? }\n  b: *w`,
    );
    expect(config.watches.b).toEqual(config.watches.a);
  });
});

describe('what is wrong with a configuration', () => {
  it.each([
    ['[[[0, 0], [1, 0]]]', 'privacy.0', 'a list of 3 to 64 entries'],
    ['[[[0, 0], [1, 0], [0.5]]]', 'privacy.0.2', 'a list of 2 entries'],
    ['[[[0, 0], [1, 0], [0.5, 1.5]]]', 'privacy.0.2.1', 'a number from 0 to 1'],
    ['[[[0, 0], [1, 1], [0.5, 0.5]]]', 'privacy.0', 'points that do not lie on one line'],
    [`[${Array.from({ length: 33 }, () => '[[0, 0], [1, 0], [1, 1]]').join(', ')}]`, 'privacy', 'a list of at most 32 entries'],
    ['[[0, 0], [1, 0], [1, 1]]', 'privacy.0.0', 'a list of 2 entries'],
    ['all', 'privacy', 'a list of at most 32 entries'],
  ])('names what is no polygon: %s', async (written, path, expected) => {
    const text = KITCHEN.replace('synthetic://kitchen }', `synthetic://kitchen, privacy: ${written} }`);
    expect(await issues(load(text))).toContainEqual(expect.objectContaining({ path: `cameras.front.${path}`, expected, line: 4 }));
  });

  it('is listed whole, with the place and the nearest key', async () => {
    const text = `node: Kitchen
mqtt:
  urll: x
  protocol: 5
cameras:
  front:
    uri: webcam
watches:
  door:
    camera: frnt
    question: Is the door open?
    min_confidence: 2
    answer: { type: bolean }
log: { level: inf }`;
    const env = { MIPHA_CONFIG_HTTPS__PORT: '1', MIPHA_CONFIG_HEALTH_INTERVAL_MS: '10s' };
    const found = await issues(load(text, { env, flags: [['http.port', '99999']] }));
    const source = join(folder, 'mipha.yaml');
    const file = (line: number, column: number) => ({ origin: 'file', source, line, column });
    expect(found).toEqual([
      {
        path: 'node',
        expected: 'an id of lower-case letters, digits and hyphens, at most 64',
        received: '"Kitchen"',
        ...file(1, 1),
      },
      { path: 'mqtt.urll', expected: expect.stringContaining('url, protocol'), received: '"urll"', nearest: 'url', ...file(3, 3) },
      { path: 'mqtt.protocol', expected: 'one of 5, 3.1.1', received: 'the number 5 (in quotes it is text)', ...file(4, 3) },
      { path: 'cameras.front.uri', expected: expect.stringContaining('begins with synthetic:'), received: '"webcam"', ...file(7, 5) },
      { path: 'watches.door.camera', expected: 'a camera of this configuration (front)', received: '"frnt"', nearest: 'front', ...file(10, 5) },
      { path: 'watches.door.min_confidence', expected: 'a number from 0 to 1', received: 'the number 2', ...file(12, 5) },
      {
        path: 'watches.door.answer.type',
        expected: 'one of boolean, choice, number, text',
        received: '"bolean"',
        nearest: 'boolean',
        ...file(13, 15),
      },
      {
        path: 'log.level',
        expected: 'one of trace, debug, info, warn, error, fatal',
        received: '"inf"',
        nearest: 'info',
        ...file(14, 8),
      },
      { path: 'http.port', expected: 'a whole number from 1 to 65535', received: 'the number 99999', origin: 'flag', source: '--set http.port' },
      {
        path: 'health_interval_ms',
        expected: 'a whole number from 1000 to 30000',
        received: '"10s"',
        origin: 'env',
        source: 'MIPHA_CONFIG_HEALTH_INTERVAL_MS',
      },
      {
        path: 'https',
        expected: expect.stringContaining('one of the names version, base'),
        received: '"https"',
        nearest: 'http',
        origin: 'env',
        source: 'MIPHA_CONFIG_HTTPS__PORT',
      },
    ]);
  });

  it('is told in the message too, with the number of what is left out', async () => {
    await expect(load('node: n\nhtpp: 1')).rejects.toThrow(/mipha\.yaml:2 \(htpp\): expected .*, received "htpp" \(did you mean http\?\)/);
    const many = Array.from({ length: 30 }, (_, index) => `key${index}: 1`).join('\n');
    await expect(load(`node: n\n${many}`)).rejects.toThrow(/; and 20 more$/);
  });

  it.each([
    ['a key twice', 'node: a\nnode: b', 'YAML', 2],
    ['no YAML', 'node: [a', 'YAML', 1],
    ['an unknown tag', 'node: !secret a', 'YAML', 1],
    ['two documents', 'node: a\n---\nnode: b', 'YAML', 2],
    ['a list', '- a', 'an object', 1],
    ['an alias in its own anchor', 'node: a\nlog: &x { level: *x }', 'no alias within its own anchor', 2],
    ['an alias bomb', bomb(), 'at most 100 aliases', undefined],
    ['endless nesting', `node: ${'['.repeat(500)}${']'.repeat(500)}`, 'nesting of at most 32 levels', 1],
    ['a key that is none', 'node: a\n__proto__: { polluted: true }', 'another word', 2],
    ['a file without end', `node: ${'a'.repeat(1_000_001)}`, 'at most 1000000 characters', undefined],
  ])('may be %s', async (_, text, expected, line) => {
    const found = await issues(load(text));
    expect(found[0]).toMatchObject({ expected, origin: 'file', source: join(folder, 'mipha.yaml'), ...(line === undefined ? {} : { line }) });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it.each([
    [{ MIPHA_CONFIG_URL: '' }, 'MIPHA_CONFIG_URL', 'url'],
    [{ MIPHA_CONFIG___PROTO____X: '1' }, 'MIPHA_CONFIG___PROTO____X', expect.any(String)],
    [{ MIPHA_CONFIG_HTTP: '{ port: [' }, 'MIPHA_CONFIG_HTTP', 'http'],
    [{ MIPHA_CONFIG_: '1' }, 'MIPHA_CONFIG_', ''],
  ])('names the variable: %j', async (env, source, path) => {
    expect(await issues(load(KITCHEN, { env: env as NodeJS.ProcessEnv }))).toEqual([expect.objectContaining({ origin: 'env', source, path })]);
  });

  it('lists what is wrong with variables and flags beside what is wrong with the file', async () => {
    const found = await issues(load('node: n\nlog: { level: 1 }', { env: { MIPHA_CONFIG_HTTP: '{' }, flags: [['..', '1']] }));
    expect(found.map(({ origin, path }) => [origin, path])).toEqual([
      ['env', 'http'],
      ['flag', '..'],
      ['file', 'log.level'],
    ]);
  });

  it('names flags that contradict each other', async () => {
    const flags = [
      ['log.level', 'info'],
      ['log', '{ level: warn }'],
    ] as const;
    expect(await issues(load(KITCHEN, { flags }))).toEqual([expect.objectContaining({ path: 'log', source: '--set log' })]);
  });

  it.each([
    ['mqtt: { url: "mqtt://broker" }', 'mqtt.url', 'mqtts:// for a broker on another machine'],
    ['mqtt: { url: "mqtt://127.0.0.1.example.com" }', 'mqtt.url', 'mqtts:// for a broker on another machine'],
    ['mqtt: { url: "mqtt://bob:hunter2@127.0.0.1" }', 'mqtt.url', 'mqtt://HOST:PORT'],
    ['mqtt: { url: "ws://127.0.0.1" }', 'mqtt.url', 'mqtt://HOST:PORT'],
    ['mqtt: { url: "mqtts://broker/path" }', 'mqtt.url', 'mqtt://HOST:PORT'],
    ['mqtt: { ca_file: /etc/hostname }', 'mqtt.ca_file', 'no certificate for mqtt://'],
    ['mqtt: { url: mqtts://b, cert_file: /etc/hostname }', 'mqtt.key_file', 'the private key'],
    ['mqtt: { url: mqtts://b, key_file: /etc/hostname }', 'mqtt.cert_file', 'the certificate'],
    ['mqtt: { password_file: /etc/hostname }', 'mqtt.username', 'a user name'],
    ['mqtt: { reply_topics: [a/#/b] }', 'mqtt.reply_topics.0', 'a topic filter'],
    ['mqtt: { discovery: { prefix: home/+ } }', 'mqtt.discovery.prefix', 'a topic without wildcards'],
    ['mqtt: { discovery: { prefix: "home\\x07" } }', 'mqtt.discovery.prefix', 'control characters'],
    ['mqtt: { discovery: { prefix: "home\\x85" } }', 'mqtt.discovery.prefix', 'control characters'],
    ['mqtt: { discovery: { prefix: "home\\0" } }', 'mqtt.discovery.prefix', 'control characters'],
    ['mqtt: { discovery: { prefix: "home\\ufffe" } }', 'mqtt.discovery.prefix', 'control characters'],
    ['mqtt: { discovery: { prefix: "$SYS/home" } }', 'mqtt.discovery.prefix', '$ in front'],
    [`mqtt: { discovery: { prefix: ${'x'.repeat(513)} } }`, 'mqtt.discovery.prefix', 'a topic without'],
    ['mqtt: { reply_topics: ["a/\\x01/b"] }', 'mqtt.reply_topics.0', 'a topic filter'],
    ['mqtt: { reply_topics: ["$share/g/#"] }', 'mqtt.reply_topics.0', 'a topic filter'],
    ['mqtt: { reply_topics: [a+/b] }', 'mqtt.reply_topics.0', 'a topic filter'],
    ['mqtt: { username: "a\\0b" }', 'mqtt.username', 'text without control characters'],
    ['http: { host: "a\\ud800" }', 'http.host', 'half of a surrogate pair'],
    ['http: { host: 0.0.0.0 }', 'http.host', 'a loopback address, or tokens for other machines'],
    ['http: { host: "::" }', 'http.host', 'a loopback address'],
    ['http: { host: localhost.example.com }', 'http.host', 'a loopback address'],
    ['http: { viewer_token_file: absent }', 'http.viewer_token_file', 'a readable file'],
    ['http: { host: 0.0.0.0, operator_token_file: /etc/hostname }', 'http.operator_token_file', 'tokens of 256 bits'],
    ['http: { allowed_hosts: ["http://kitchen.local"] }', 'http.allowed_hosts.0', 'a name or number without port'],
    ['watches: { w: { camera: front, question: "x\\udc00?" } }', 'watches.w.question', 'half of a surrogate pair'],
    [
      'watches: { w: { camera: front, question: "x?", answer: { type: choice, choices: [a, "b\\ud83d"] } } }',
      'watches.w.answer.choices.1',
      'half of a surrogate pair',
    ],
    ['mqtt: { ca_file: absent.pem, url: mqtts://b }', 'mqtt.ca_file', 'a readable file'],
    ['model: { folder: . }', 'model.folder', 'a package folder'],
    ['state_dir: /etc/hostname', 'state_dir', 'a folder that can be written'],
    ['watches: { x: { camera: front, question: Why?, interval_ms: 20000 } }', 'watches.x.reask_ms', 'reask_ms at least interval_ms'],
    ['watches: { x: { camera: toString, question: Why? } }', 'watches.x.camera', 'an id of lower-case letters'],
    ['watches: { x: { camera: front, question: Why?, compare: { event: y } } }', 'watches.x.compare.event', 'a watch of this configuration (x)'],
    ['watches: { x: { camera: front, question: Why?, compare: { event: toString } } }', 'watches.x.compare.event', 'an id of lower-case letters'],
    [
      'watches: { x: { camera: front, question: Why?, compare: { event: constructor } } }',
      'watches.x.compare.event',
      'a watch of this configuration',
    ],
    ['watches: { x: { camera: front, question: Why?, compare: {} } }', 'watches.x.compare', 'ago_ms or event, one of them'],
    ['watches: { x: { camera: constructor, question: Why? } }', 'watches.x.camera', 'a camera of this configuration'],
  ])('is found in %s', async (text, path, expected) => {
    const found = await issues(load(`node: n\ncameras: { front: { uri: synthetic://kitchen } }\n${text}`));
    expect(found.map((issue) => issue.path)).toContain(path);
    expect(found.find((issue) => issue.path === path)?.expected).toContain(expected);
    expect(JSON.stringify(found)).not.toContain('hunter2');
  });

  it.each(['mqtt://localhost', 'mqtt://127.1.2.3:1', 'mqtt://[::1]:1883', 'mqtts://broker.example:8883'])('is not %s', async (url) => {
    expect((await load(`node: n\nmqtt: { url: "${url}" }`)).config.mqtt.url).toBe(url);
  });

  it.each([
    ['synthetic://kitchn', 'synthetic://kitchen', 'synthetic://kitchen'],
    ['synthetic://kitchen?cups=one', 'one of the options seed, change_ms, fps, cup', 'cup'],
    ['synthetic://kitchen?fps=fast', 'fps: a number from 0 to 1000', undefined],
    ['rstp://cam/live', 'a URI that begins with', 'rtsp://'],
    ['csi://front', 'the number of the sensor', undefined],
  ])('is an address that no camera has: %s', async (uri, expected, nearest) => {
    const [issue, ...rest] = await issues(load(`node: n\ncameras: { a: { uri: "${uri}" } }`));
    expect(rest).toEqual([]);
    expect(issue).toMatchObject({
      path: 'cameras.a.uri',
      expected: expect.stringContaining(expected),
      received: JSON.stringify(uri.replace('cups=one', 'cups=***')),
      line: 2,
    });
    expect(issue?.nearest).toBe(nearest);
  });

  it('is one device for two cameras', async () => {
    const two = (extra: string) => `node: n\ncameras: { a: { uri: "v4l2:///dev/video0" }, b: { uri: "v4l2:///dev/video0?fps=5"${extra} } }`;
    expect(await issues(load(two('')))).toEqual([expect.objectContaining({ path: 'cameras.b.uri' })]);
    await load(two(', enabled: false'));
  });

  it('is too many watches', async () => {
    const watches = Array.from({ length: 257 }, (_, index) => `  w${index}: { camera: front, question: Why? }`).join('\n');
    expect(await issues(load(`node: n\ncameras: { front: { uri: synthetic://kitchen } }\nwatches:\n${watches}`))).toEqual([
      expect.objectContaining({ path: 'watches', expected: 'at most 256 watches' }),
    ]);
  });

  it('is a warning where a camera may come later', async () => {
    const { warnings } = await load('node: n\ncameras: { a: { uri: file://absent.mp4?loop=true }, b: { uri: file://absent.mp4, enabled: false } }');
    expect(warnings).toEqual([expect.stringMatching(/^cameras\.a\.uri: .*absent\.mp4 is not there now/)]);
  });

  it('is a warning where a camera ends after one pass and nobody asked for that', async () => {
    const cameras = ['', '?loop=true', '?loop=false'].map((query, i) => `c${i}: { uri: "images://.${query}" }`);
    const { warnings } = await load(`node: n\ncameras: { ${cameras.join(', ')} }`);
    expect(warnings).toEqual(['cameras.c0.uri: ends after one pass and stays offline then; add ?loop=true to go round']);
  });

  it('is a password that others can read, as a warning', async () => {
    await writeFile(join(folder, 'password'), 'hunter2\n', { mode: 0o644 });
    const text = 'node: n\nmqtt: { url: mqtts://b, username: bob, password_file: password, key_file: password, cert_file: password }';
    const { warnings } = await load(text);
    expect(warnings).toEqual([expect.stringContaining('chmod o-r'), expect.stringContaining('chmod o-r')]);
    expect(warnings.join()).not.toContain('hunter2');
  });
});

describe('changes while running', () => {
  it('are merged and validated whole', async () => {
    const loaded = await load(KITCHEN);
    const next = mergeOptions(loaded, { log: { level: 'debug' }, cameras: { front: { enabled: false } }, watches: { door: { interval_ms: 50 } } });
    expect(next.config).toMatchObject({
      log: { level: 'debug' },
      cameras: { front: { enabled: false } },
      watches: { door: { question: 'Is the door open?', interval_ms: 50 } },
    });
    expect(loaded.config.log.level).toBe('info');
    expect(originOf(next, ['log', 'level'])).toBe('mqtt');
    expect(originOf(next, ['cameras', 'front', 'uri'])).toBe('file');
    expect(mergeOptions(next, { log: { level: null } }).config.log.level).toBe('info');
  });

  it('replace the answer type whole', async () => {
    const number = mergeOptions(await load(KITCHEN), { watches: { door: { answer: { type: 'number', min: 0, max: 9 } } } });
    expect(mergeOptions(number, { watches: { door: { answer: { max: 5 } } } }).config.watches.door?.answer).toMatchObject({ min: 0, max: 5 });
    const choice = { type: 'choice', choices: ['a', 'b'] };
    expect(mergeOptions(number, { watches: { door: { answer: choice } } }).config.watches.door?.answer).toEqual(choice);
  });

  it('name what is wrong', async () => {
    const loaded = await load(KITCHEN);
    const patch = { log: { levl: 1 }, watches: { door: { camera: 'roof' } } };
    expect((await issues((async () => mergeOptions(loaded, patch))())).map(({ path, origin, source }) => ({ path, origin, source }))).toEqual([
      { path: 'log.levl', origin: 'mqtt', source: 'MQTT' },
      { path: 'watches.door.camera', origin: 'mqtt', source: 'MQTT' },
    ]);
  });

  it.each([
    [{ mqtt: { url: 'mqtt://127.0.0.1' } }, 'mqtt.url'],
    [{ mqtt: null }, 'mqtt'],
    [{ cameras: { front: { uri: 'gst:filesrc location=secret ! filesink location=elsewhere' } } }, 'cameras.front.uri'],
    [{ cameras: { front: { images: true } } }, 'cameras.front.images'],
    [{ cameras: { front: { privacy: [] } } }, 'cameras.front.privacy'],
    [{ cameras: { front: { privacy: null } } }, 'cameras.front.privacy'],
    [{ cameras: { front: null } }, 'cameras.front'],
    [{ cameras: null }, 'cameras'],
    [{ requests: null }, 'requests'],
    [{ requests: { queries: true } }, 'requests.queries'],
    [{ requests: { closed: [] } }, 'requests.closed'],
    [{ mqtt: { discovery: { prefix: 'elsewhere' } } }, 'mqtt.discovery.prefix'],
    [{ mqtt: { discovery: null } }, 'mqtt.discovery'],
    [{ http: { host: '0.0.0.0' } }, 'http.host'],
    [{ state_dir: null }, 'state_dir'],
    [{ node: 'other' }, 'node'],
    [JSON.parse('{"__proto__": 1}'), '__proto__'],
  ])('never touch what is the owner’s: %j', async (patch, path) => {
    const loaded = await load(KITCHEN);
    expect(() => mergeOptions(loaded, patch)).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIG', details: expect.objectContaining({ forbidden: [path] }) }),
    );
  });

  it.each([
    [{ watches: { door: null } }, 'watches.door'],
    [{ watches: null }, 'watches'],
    [{ watches: { nobody: null } }, 'watches.nobody'],
    [{ logg: null }, 'logg'],
    [{ log: { levl: null } }, 'log.levl'],
    [{ watches: { door: { answr: null } } }, 'watches.door.answr'],
    [{ cameras: { roof: { enabled: null } } }, 'cameras.roof.uri'],
  ])('remove only what may be removed: %j', async (patch, path) => {
    const loaded = await load(KITCHEN);
    expect((await issues((async () => mergeOptions(loaded, patch))())).map((issue) => issue.path)).toEqual([path]);
  });

  it('may say nothing', async () => {
    const loaded = await load(KITCHEN);
    for (const patch of [{}, { cameras: {} }, { requests: {}, watches: { door: {} } }])
      expect(mergeOptions(loaded, patch).config).toEqual(loaded.config);
  });

  it('put a watch whole and take it away', async () => {
    const loaded = await load(`${KITCHEN}    cooldown_ms: 77`);
    const put = replaceWatch(loaded, 'door', { camera: 'front', question: 'Is it shut?' });
    expect(put.config.watches.door).toMatchObject({ question: 'Is it shut?', cooldown_ms: 0 });
    expect(replaceWatch(put, 'door', null).config.watches).toEqual({});
    expect(() => replaceWatch(loaded, 'door', { camera: 'roof', question: 'Why?' })).toThrow(/watches\.door\.camera/);
    expect(() => replaceWatch(loaded, 'Door', { camera: 'front', question: 'Why?' })).toThrow(/an id of lower-case/);
  });
});

describe('recording', () => {
  const watch = { camera: 'front', question: 'Is the door open?', record: true };
  const values = (images: boolean, rest: object = { state_dir: '/tmp/state' }) => ({
    node: 'n',
    cameras: { front: { uri: 'csi://0', images } },
    watches: { door: watch },
    ...rest,
  });
  const issuesOf = async (work: () => unknown) => await issues((async () => work())());

  it('is on with one line, where pictures may be shown and a folder is named', () => {
    const { config } = configOf(values(true));
    expect(config.recorder).toEqual({ bytes: 2 ** 30, days: 14, quality: 90 });
    expect(recordFolderOf(config)).toBe('/tmp/state/record');
    const named = configOf(values(true, { recorder: { folder: '/srv/record' } })).config;
    expect(recordFolderOf(named)).toBe('/srv/record');
    expect(recordFolderOf(configOf({ node: 'n' }).config)).toBeUndefined();
    expect(configOf({ ...values(false), watches: { door: { ...watch, record: false } } }).config.watches.door?.record).toBe(false);
  });

  it('is refused where the images of the camera are off, and where no folder is named', async () => {
    const path = 'watches.door.record';
    expect(await issuesOf(() => configOf(values(false)))).toEqual([
      expect.objectContaining({
        path,
        expected: expect.stringMatching(/^false while cameras.front.images is off \(.*turn off both/),
        received: 'true',
      }),
    ]);
    expect(await issuesOf(() => configOf(values(true, {})))).toEqual([
      expect.objectContaining({ path, expected: 'false where neither recorder.folder nor state_dir names a folder' }),
    ]);
    expect(await issuesOf(() => configOf(values(false, {})))).toHaveLength(2);
  });

  it('is refused over MQTT just so, and limits and folder cannot be changed there', async () => {
    const closed = configOf({ ...values(false), watches: {} });
    expect(await issuesOf(() => replaceWatch(closed, 'door', watch))).toEqual([
      expect.objectContaining({ path: 'watches.door.record', origin: 'mqtt' }),
    ]);
    const open = configOf({ ...values(true), watches: { door: { ...watch, record: false } } });
    expect(mergeOptions(open, { watches: { door: { record: true } } }).config.watches.door?.record).toBe(true);
    for (const recorder of [{ folder: '/etc' }, { bytes: 2 ** 40 }, { days: 1 }, { quality: 1 }]) {
      expect(() => mergeOptions(open, { recorder })).toThrow(
        expect.objectContaining({ details: expect.objectContaining({ forbidden: expect.anything() }) }),
      );
    }
  });

  it.each([
    ['bytes: 1000000', 'recorder.bytes', /^a whole number from 1048576/],
    ['days: 0', 'recorder.days', /^a whole number from 1/],
    ['quality: 101', 'recorder.quality', /^a whole number from 1 to 100/],
    ['folder: 7', 'recorder.folder', /^a path/],
  ])('names a wrong limit: %s', async (written, path, expected) => {
    const found = await issues(load(`${KITCHEN}recorder: { ${written} }`));
    expect(found).toEqual([expect.objectContaining({ path, expected: expect.stringMatching(expected) })]);
  });

  it('into a folder that cannot be written is a warning: it never keeps a node from starting', async () => {
    const text = KITCHEN.replace('kitchen }', 'kitchen, images: true }').replace('open?', 'open?\n    record: true');
    const { warnings } = await load(`${text}recorder: { folder: /etc/hostname }`);
    expect(warnings).toEqual([expect.stringMatching(/^recorder: \/etc\/hostname cannot be written \(no folder\)/)]);
  });
});

describe('models that are installed', () => {
  const key = `${'A'.repeat(43)}=`;
  const made = (updates: object, more: object = { state_dir: '/var/lib/mipha' }) => configOf({ node: 'n', ...more, model: { updates } });
  const issuesWith = async (...values: Parameters<typeof made>) => await issues((async () => made(...values))());

  it('need a key that vouches for them, a place, and servers that speak TLS', async () => {
    expect(made({ keys: [key], folder: '/media', origins: ['https://a.example', 'https://a.example:8443'] }).config.model.updates.keys).toEqual([
      key,
    ]);
    expect(await issuesWith({ keys: [key] }, {})).toMatchObject([{ path: 'state_dir', expected: 'a folder for what model.updates installs' }]);
    expect(await issuesWith({ folder: '/media' })).toMatchObject([
      { path: 'model.updates.keys', expected: expect.stringContaining('model.updates.folder') },
    ]);
    expect(await issuesWith({ keys: ['ssh-ed25519 AAAA'] })).toMatchObject([
      { path: 'model.updates.keys.0', expected: expect.stringContaining('32 bytes in base64') },
    ]);
    for (const origin of ['http://a.example', 'https://a.example/models', 'a.example']) {
      expect(await issuesWith({ keys: [key], origins: [origin] })).toMatchObject([
        { path: 'model.updates.origins.0', expected: expect.stringContaining('https://HOST') },
      ]);
    }
  });

  it('cannot be allowed over MQTT', () => {
    const open = configOf({ node: 'n', state_dir: '/var/lib/mipha' });
    for (const updates of [{ keys: [key] }, { folder: '/' }, { origins: ['https://a.example'] }, { trial_s: 10 }]) {
      expect(() => mergeOptions(open, { model: { updates } })).toThrow(
        expect.objectContaining({ details: expect.objectContaining({ forbidden: expect.anything() }) }),
      );
    }
  });
});

describe('a configuration of a program', () => {
  it('has flags over it', () => {
    const loaded = configOf({ node: 'n', http: { port: 1 } }, [['http.port', '2']]);
    expect(loaded.config.http.port).toBe(2);
    expect(() => configOf({ node: 'n' }, [['http.prt', '2']])).toThrow(/--set http\.prt \(http\.prt\): .*did you mean port\?/);
    expect(() => configOf({})).toThrow(/node: expected an id/);
  });
});

describe('the difference of two configurations', () => {
  it('names settings, sections, ids, and what waits for a restart', async () => {
    const before = await load(`${KITCHEN}\nmqtt: { keepalive_s: 20 }`);
    const after = await load(
      `node: kitchen-1\nmodel: { threads: 2 }\nlog: { level: debug, format: pretty }
cameras: { front: { uri: synthetic://kitchen, stall_ms: 500 }, back: { uri: csi://0 } }\nwatches: {}`,
    );
    const diff = diffConfig(before.config, after.config);
    expect([...diff.changed].sort()).toEqual([
      'cameras.back',
      'cameras.front.stall_ms',
      'log.format',
      'log.level',
      'model.threads',
      'mqtt.keepalive_s',
      'watches.door',
    ]);
    expect([...diff.restart].sort()).toEqual(['log.format', 'model.threads', 'mqtt.keepalive_s']);
    expect([...diff.sections].sort()).toEqual(['cameras', 'log', 'model', 'mqtt', 'watches']);
    expect(diff.cameras).toEqual({ added: ['back'], removed: [], changed: ['front'] });
    expect(diff.watches).toEqual({ added: [], removed: ['door'], changed: [] });
    expect(inForce(before.config, after.config)).toEqual({
      ...after.config,
      model: before.config.model,
      mqtt: before.config.mqtt,
      log: { ...after.config.log, format: 'json' },
    });
  });

  it('is empty for the same one', async () => {
    const { config } = await load(KITCHEN);
    expect(diffConfig(config, structuredClone(config))).toMatchObject({ changed: [], sections: [], restart: [] });
  });
});

/** Ten levels of ten aliases each: ten thousand million values. */
function bomb(): string {
  const levels = Array.from(
    { length: 10 },
    (_, level) =>
      `k${level}: &a${level} [${Array(10)
        .fill(level === 0 ? 'x' : `*a${level - 1}`)
        .join(', ')}]`,
  );
  return `node: n\n${levels.join('\n')}`;
}
