/** Nothing that a node or a command says holds a password, however it is written and wherever it goes wrong. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mipha } from '../cli/in-process.js';
import { MAIN, mipha as miphaChild } from '../cli/run.js';
import { freePort, type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Doorkeeper, startDoorkeeper } from '../support/rtsp-401.js';
import { type Ear, listen } from './support.js';

/** `SECRET` in each address is replaced by a secret of its own, made of parts that stand in no other text. */
const RIGHT: [address: string, secret: string][] = [
  ['rtsp://admin:SECRET@HOST/s', `Qx7z'Wv9kJ`],
  ['rtsp://admin:SECRET@HOST/s', 'Qy7z Wv8kJ'],
  ['rtsp://admin:SECRET@HOST/s', 'Qz7z"Wv7kJ'],
  ['rtsp://admin:SECRET@HOST/s', 'Qa7z\\Wv6kJ'],
  ['rtsp://admin:SECRET@HOST/s', 'Qb7z%20Wv5kJ'],
  ['rtsp://admin:SECRET@HOST/s', 'Qc7z%2f%3F%23%25Wv4kJ'],
  ['rtsp://admin:SECRET@HOST/s', 'Qd7z$&.*(Wv3kJ'],
  ['rtsp://admin:SECRET@HOST/s', 'Qe7zäWv€2kJ'],
  ['rtsp://Usr9x@b.example:SECRET@HOST/s', 'Qf7z@Wv1kJ'],
  ['rtsp://SECRET@HOST/s', 'Qf8z@Wv1kJ'],
  ['rtsp://HOST/s?user=admin&password=SECRET', 'Qg7zWv0kJ'],
  ['rtsp://HOST/user=admin_password=SECRET_channel=1.sdp', 'Qh7zXv9kJ'],
  ['gst:rtspsrc location=rtsp://HOST/s protocols=tcp user-id=admin user-pw = "SECRET" ! decodebin', 'Qi7z Xv8kJ'],
  [`gst:rtspsrc location=rtsp://admin:SECRET@HOST/s protocols=tcp ! decodebin`, 'Qj7zXv7kJ'],
  ['gst:rtspsrc location=rtsp://HOST/s user-pwd = "SECRET" ! decodebin', 'Qk7z Xv6kJ'], // no such property: the parser quotes it
  ['gst:rtspsrc location=rtsp://HOST/s user-pw=SECRET ! decodebin', 'Ql7z Xv5kJ'], // without quotes: the second half is no element
  ['gst:rtspsrc location=rtsp://HOST/s protocols="SECRET" ! decodebin', 'Qm7z+Xv4kJ'],
  ["gst:souphttpsrc location=http://HOST/s extra-headers='SECRET' ! decodebin", 'h,Auth=Qn7zXv3kJ'],
];

/** Refused, each for a reason of its own. `SETTING` is the whole line of a file, where it is not a camera's address. */
const REFUSED: [address: string, secret: string, said: RegExp][] = [
  ['rtsp://admin:SECRET@HOST/s', 'Ra7z/Wv9kJ', /percent-encode/],
  ['rtsp://admin:SECRET@HOST/s', 'Rb7z?Wv9kJ', /percent-encode/],
  ['rtsp://admin:SECRET@HOST/s', 'Rc7z#Wv9kJ', /percent-encode/],
  ['rtsp://admin:SECRET@HOST/s', 'Rd7z%Wv9kJ', /percent-encode/],
  ['rtsp://admin:SECRET@HOST/s', '1/Re7zWv9kJ', /percent-encode/],
  ['rtsp:admin:SECRET@HOST/s', 'Rf7z Wv9kJ', /begins with/],
  ['v4l2:admin:SECRET@HOST', 'Rg7zWv9kJ', /begins with/],
  ['admin:SECRET@HOST/s', 'Rh7zWv9kJ', /begins with/],
  ['http://admin:SECRET@HOST/s?token=SECRET', 'Ri7zWv9kJ', /begins with/],
  ['images://admin:SECRET@nas/pictures', 'Rj7z/Wv9kJ', /a path, without user and password/],
  ['v4l2:///dev/video0?password=SECRET', 'Rk7zWv9kJ', /one of the options/],
  ['gst:rtspsrc user-pw="SECRET', 'Rl7z Wv9kJ', /gst: and a pipeline/],
  ['rtsp://admin:SECRET', 'Rm7zWv9kJ', /rtsp:\/\/user:password@host/],
];

/** Lines of a file that are wrong as a whole. */
const WRONG_LINES: [line: string, secret: string][] = [
  ['mqtt: { url: "mqtt://admin:SECRET@127.0.0.1" }', 'Sa7z@Wv9kJ'],
  ['mqtt: { url: "mqtt:admin:SECRET@127.0.0.1" }', 'Sb7zWv9kJ'],
  ['mqtt: { password: SECRET }', 'Sc7zWv9kJ'],
  ['cameras: { a: "rtsp://admin:SECRET@cam/s" }', 'Sd7z Wv9kJ'],
  ['cameras: { a: { url: "rtsp://admin:SECRET@cam/s" } }', 'Se7zWv9kJ'],
  ['cameras: { a: { uri: ["rtsp://admin:SECRET@cam/s"] } }', 'Sf7zWv9kJ'],
  ['cameras: { a: { uri: "synthetic://kitchen", frame_side_px: "rtsp://admin:SECRET@cam/s" } }', 'Sg7zWv9kJ'],
  ['cameras: { "rtsp://admin:SECRET@cam/s": { uri: "synthetic://kitchen" } }', 'Sh7zWv9kJ'],
  ['watches: { w: { camera: "rtsp://admin:SECRET@cam/s", question: "x?" } }', 'Si7zWv9kJ'],
  ['log: { level: "see rtsp://admin:SECRET@cam/s" }', 'Sj7zWv9kJ'],
  ['cameras: { a: { uri: !SECRET x } }', 'Sk7zWv9kJ'],
  ['cameras: { a: { uri: *SECRET } }', 'Sl7zWv9kJ'],
  ['cameras: { a: { uri: "rtsp://admin:x\\SECRET@cam/s" } }', 'Sm7zWv9kJ'],
  ['cameras: { a: { uri: "rtsp://admin:x@cam/s"SECRET" } }', 'Sn7zWv9kJ'],
  ['cameras: { a: { uri: |SECRET } }', 'So7zWv9kJ'],
  ['cameras: { a: { uri: "rtsp://admin:SECRET@cam/s" }, a: { uri: "rtsp://admin:SECRET@cam/s" } }', 'Sp7z Wv9kJ'],
];

/** Every run of four characters, as written and decoded, that would tell a part of a secret; separators alone tell nothing. */
function fragments(secret: string): string[] {
  const forms = new Set([secret, encodeURIComponent(secret), secret.replace(/["\\]/g, '\\$&')]);
  if (/%/.test(secret)) forms.add(decodeURIComponent(secret.replace(/%(?![0-9a-f]{2})/gi, '%25')));
  const pieces = [...forms].flatMap((form) => Array.from({ length: form.length - 3 }, (_, i) => form.slice(i, i + 4)));
  return [...new Set(pieces)].filter((piece) => /[A-Z]\w7z|[WX]v\d|v\dkJ/.test(piece));
}

function expectNone(text: string, secrets: string[], where: string): void {
  for (const fragment of secrets.flatMap(fragments)) {
    const at = text.indexOf(fragment);
    if (at >= 0) throw new Error(`${where} shows ${fragment}: …${text.slice(Math.max(0, at - 80), at + 40)}…`);
  }
  for (const address of text.matchAll(/\w+:\/\/[^\s"]*@/g)) expect(address[0], where).toMatch(/:\/\/(\*\*\*|user:password)@$/);
}

const yamlQuoted = (text: string) => `'${text.replaceAll("'", "''")}'`;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-secrets-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function written(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

describeWith(['mosquitto', 'gstreamer'], 'a node whose cameras have passwords', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let door: Doorkeeper;
  beforeAll(async () => {
    mosquitto = await startMosquitto({ users: { node: 'To7z Wv9kJ', ear: 'x' } });
    ear = await listen(mosquitto.url.replace('mqtt://', 'mqtt://ear:x@'), ['#']);
    door = await startDoorkeeper();
  });
  afterAll(async () => {
    await ear[Symbol.asyncDispose]();
    await door[Symbol.asyncDispose]();
    await mosquitto[Symbol.asyncDispose]();
  });

  it('shows none of them: on no topic, in no line of its log, over HTTP, nor when a new file is refused', async () => {
    const host = `127.0.0.1:${door.port}`;
    const http = await freePort();
    const uriOf = (address: string, secret: string) => yamlQuoted(address.replaceAll('SECRET', secret).replaceAll('HOST', host));
    const camera = (id: string, [address, secret]: readonly [string, string, ...unknown[]]) =>
      `  ${id}: { stall_ms: 3000, uri: ${uriOf(address, secret)} }`;
    const password = await written('mqtt-password', 'To7z Wv9kJ\n');
    const base = `node: test
http: { port: ${http} }
log: { mqtt: true, level: debug }
mqtt: { url: "${mosquitto.url}", username: node, password_file: ${password} }
cameras:
  kitchen: { uri: "synthetic://kitchen" }
${RIGHT.map((row, n) => camera(`right-${n}`, row)).join('\n')}
`;
    const file = await written('config.yaml', base);
    const child = spawn(process.execPath, [MAIN, '--verbose', 'run', '--config', file], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
    const ended = new Promise((done) => child.once('close', done));
    let told = '';
    try {
      const lost = () => new Set(ear.on('event').flatMap(({ text }) => (/"camera_lost"/.test(text) ? [JSON.parse(text).refs[0].value] : [])));
      await until('every camera lost', () => lost().size === RIGHT.length, 60_000);
      for (const [n, [address, secret]] of REFUSED.entries()) {
        const before = ear.on('event').filter(({ text }) => /"config_refused"/.test(text)).length;
        await writeFile(file, base + camera(`refused-${n}`, [address, secret]));
        child.kill('SIGHUP');
        await until('a refusal', () => ear.on('event').filter(({ text }) => /"config_refused"/.test(text)).length > before);
      }
      await ear.request('options', { transaction: 't1', options: { cameras: { kitchen: { uri: 'rtsp://admin:x@h/s' } } } });
      await ear.request('announce', { transaction: 't2' });
      await ear.request('health', { transaction: 't3' });
      for (const transaction of ['t1', 't2', 't3']) await ear.response(transaction);
      for (const path of ['metrics', 'readyz?verbose', 'livez?verbose', 'nothing'])
        told += await (await fetch(`http://127.0.0.1:${http}/${path}`)).text();
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
    const secrets = [...RIGHT.map(([, secret]) => secret), ...REFUSED.map(([, secret]) => secret), 'To7z Wv9kJ', 'Usr9x@b.example'];
    const published = ear.all
      .filter(({ topic }) => !topic.includes('/request/'))
      .map(({ topic, text }) => `${topic} ${text}`)
      .join('\n');
    for (const word of ['config_refused', 'camera_lost', '/info ', '/health ', '/log ', '/alert/config ', '/response/'])
      expect(published).toContain(word);
    expectNone(published, secrets, 'the broker');
    expectNone(output, secrets, 'the log');
    expectNone(told, secrets, 'HTTP');
    expect(published).not.toMatch(/admin|Usr9x/);
    expect(output).not.toMatch(/admin|Usr9x/);
    expect(published).toContain(`rtsp://***@${host}/s`);
  });
});

describe('commands about a configuration', () => {
  const camera = (address: string, secret: string) =>
    `node: n\ncameras: { a: { uri: ${yamlQuoted(address.replaceAll('SECRET', secret).replaceAll('HOST', 'cam'))} } }\n`;

  it('show what is right without its secrets', async () => {
    const file = await written(
      'right.yaml',
      `node: n\ncameras:\n${RIGHT.map(([address, secret], n) => `  c${n}: { uri: ${yamlQuoted(address.replaceAll('SECRET', secret).replaceAll('HOST', 'cam'))} }`).join('\n')}\n`,
    );
    const secrets = [...RIGHT.map(([, secret]) => secret), 'Usr9x@b.example'];
    for (const args of [
      ['check-config', file],
      ['check-config', file, '--json'],
      ['print-config', file],
      ['print-config', file, '--json'],
    ]) {
      const { code, stdout, stderr } = await mipha(...args);
      expect(code).toBe(0);
      expectNone(stdout + stderr, secrets, args.join(' '));
    }
    expect((await mipha('print-config', file, '--no-redacted')).stdout).toContain(`Qx7z'Wv9kJ`);
  });

  it('show what is wrong without its secrets', async () => {
    for (const [address, secret, said] of REFUSED) {
      const file = await written('wrong.yaml', camera(address, secret));
      const { code, stdout, stderr } = await mipha('check-config', file);
      expect([code, stdout]).toEqual([1, expect.stringMatching(said)]);
      expectNone(stdout + stderr, [secret], `check-config of ${address}`);
    }
  });

  it('quote nothing of a file that is no configuration', async () => {
    for (const [line, secret] of WRONG_LINES) {
      const file = await written('wrong.yaml', `node: n\n${line.replaceAll('SECRET', secret)}\n`);
      for (const args of [
        ['check-config', file],
        ['print-config', file],
      ]) {
        const { code, stdout, stderr } = await mipha(...args);
        expect(code).toBe(1);
        expectNone(stdout + stderr, [secret], `${args.join(' ')} of ${line}`);
      }
    }
  });

  it('know secrets in their arguments and variables too', async () => {
    const file = await written('plain.yaml', 'node: n\n');
    const address = 'rtsp://admin:Ua7z/Wv9kJ@cam/s';
    const variables = { MIPHA_CONFIG_CAMERAS__A__URI: 'rtsp:admin:Ub7z Wv9kJ@cam/s', MIPHA_CONFIG_LOG: '[rtsp://admin:Uc7zWv9kJ@cam/s' };
    const commands = [
      ['check-config', file, '--set', `cameras.a.uri=${address}`],
      ['check-config', file, `--set=cameras.b.uri=${address}`],
      ['check-config', file, '--set', `cameras.a.uri ${address}`],
      ['print-config', file, address],
      [address],
      ['ask', address, 'Is it open?'],
      ['run', '--set', 'node=n', '--set', `cameras.a.uri=${address}`],
      ['demo', '--broker', 'mqtt://admin:Ua7z/Wv9kJ@127.0.0.1'],
    ];
    await Promise.all(
      commands.map(async (args) => {
        const { code, stdout, stderr } = await miphaChild(['--verbose', ...args], { env: variables });
        expect(code).not.toBe(0);
        expectNone(stdout + stderr, ['Ua7z/Wv9kJ', 'Ub7z Wv9kJ', 'Uc7zWv9kJ'], args.join(' '));
      }),
    );
  });
});
