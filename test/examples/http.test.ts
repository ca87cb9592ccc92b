/** The lines of docs/http.md, run as a reader would run them, on a node with a kitchen. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { IGNORED } from '../../src/http/chat-schema.js';
import { ROOT, node as runNode } from '../cli/run.js';
import { type Node, startNode } from '../service/support.js';
import { freePort, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';

const document = await readFile(join(ROOT, 'docs', 'http.md'), 'utf8');
const fenced = (language: string) =>
  [...document.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, text]) => text as string);

describeWith(['curl', 'openssl'], 'docs/http.md', () => {
  let node: Node;
  let project = '';
  let port = 0;
  beforeAll(async () => {
    port = await freePort();
    const cameras = { kitchen: { uri: 'synthetic://kitchen?fps=10' } };
    node = await startNode(`mqtt://127.0.0.1:${await freePort()}`, { http: { port }, cameras, watches: {} });
    await until('a frame', () => node.service.cameras.get('kitchen')?.slot.newest() !== undefined);
    project = await mkdtemp(join(tmpdir(), 'mipha-http-'));
    await mkdir(join(project, 'node_modules'));
    await symlink(join(ROOT, 'node_modules', 'openai'), join(project, 'node_modules', 'openai'));
    await symlink(join(ROOT, 'examples'), join(project, 'examples'));
  });
  afterAll(async () => {
    await node[Symbol.asyncDispose]();
    await rm(project, { recursive: true });
  });

  const shell = async (text: string): Promise<string> =>
    await new Promise((resolve, reject) => {
      const child = spawn('sh', ['-ec', text.replaceAll('localhost:9464', `127.0.0.1:${port}`)], {
        cwd: project,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      child.stdout.on('data', (part: Buffer) => (output += part.toString()));
      child.once('error', reject).once('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`exit ${code}: ${text}`))));
    });

  it('has lines that work', async () => {
    const blocks = fenced('sh');
    const outputs: string[] = [];
    for (const block of blocks) outputs.push(await shell(block));
    const [models = '', picture = '', stream = '', typed = '', metrics = ''] = outputs;
    expect(blocks).toHaveLength(5);
    expect(JSON.parse(models).data[0].id).toBe('mipha-nano');
    expect(JSON.parse(picture).choices?.[0].message.content, picture).toMatch(/lamp/);
    expect(stream).toMatch(/^data: \{[\s\S]*"finish_reason":"stop"[\s\S]*data: \[DONE\]\n\n$/);
    expect(JSON.parse(JSON.parse(typed).choices[0].message.content)).toEqual({ lamp: expect.any(Boolean), balls: expect.any(Number) });
    expect(metrics).toContain('mipha_queries_total');
  });

  it('has a program that works', async () => {
    const [program = ''] = fenced('ts');
    await writeFile(join(project, 'ask.mjs'), program.replaceAll('localhost:9464', `127.0.0.1:${port}`));
    const { code, stdout, stderr } = await runNode([join(project, 'ask.mjs')], { cwd: project });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/on the table/);
  });

  it('names what is left aside', () => {
    expect(IGNORED.filter((field) => !document.includes(`\`${field}\``))).toEqual([]);
  });
});
