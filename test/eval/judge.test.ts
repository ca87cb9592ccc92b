/** A judge of MM-Vet: what it is asked, what counts as a grade, and that it is asked once. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Answers } from '../../src/eval/answers.js';
import { gradeOf, type Judge, judged, judgedBefore } from '../../src/eval/judge.js';
import { openBenchmark } from '../../src/eval/layouts/open.js';
import { type Marked, marksOf } from '../../src/eval/score.js';
import { makeFolders } from './folders.js';

interface Request {
  authorization: string | undefined;
  path: string | undefined;
  model: string;
  temperature: number;
  messages: { role: string; content: string }[];
}

let server: Server;
let judge: Judge;
let marked: Marked[];
let root: string;
let requests: Request[] = [];
let reply: (request: Request) => { status?: number; text: string };

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'mipha-judge-'));
  const { tables } = await makeFolders(root);
  const dataset = await openBenchmark('mm-vet', tables);
  marked = marksOf(dataset, 'paper', new Map(dataset.items.map(({ id }) => [id, { text: 'x is\n-5', confidence: null, ms: 1 }])));
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => {
      body += part;
    });
    request.on('end', () => {
      const asked = { authorization: request.headers.authorization, path: request.url, ...JSON.parse(body) } as Request;
      requests.push(asked);
      const { status = 200, text } = reply(asked);
      response.writeHead(status).end(text);
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  judge = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`, model: 'judge-1', key: 'k' };
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  requests = [];
});

const grades = async (of: readonly Marked[], by: Judge, kept: Answers) => (await judged(of, by, kept)).map(({ item, mark }) => [item.id, mark.score]);
const says = (content: string) => ({ text: JSON.stringify({ choices: [{ message: { content } }] }) });

it.each([
  ['0.5', 0.5],
  ['1', 1],
  [' Grade: 0.7\n', 0.7],
  ['1.5', null],
  ['-0.5', null],
  ['0.5 of 1.0', null],
  ['none', null],
  ['', null],
])('%j is %s', (text, grade) => expect(gradeOf(text)).toBe(grade));

describe('grades', () => {
  it('are asked for with question, reference and answer, once', async () => {
    reply = ({ messages }) => says(messages[0]?.content.includes('equation') ? '1.0' : '0.3');
    const path = join(root, 'grades.ndjson');
    expect(await grades(marked, judge, new Answers(path, {}))).toEqual([
      ['0', 1],
      ['1', 0.3],
    ]);
    expect(requests).toHaveLength(2);
    expect(requests[0]).toMatchObject({ path: '/v1/chat/completions', authorization: 'Bearer k', model: 'judge-1', temperature: 0 });
    expect(requests[0]?.messages[0]?.content).toMatch(
      /\nQuestion: What is x in the equation\?\nReference: x=-1<OR>x=-5 \| Answer: x is -5 \| Grade:$/,
    );
    expect(await grades(marked, judge, new Answers(path, {}))).toEqual([
      ['0', 1],
      ['1', 0.3],
    ]);
    expect(requests).toHaveLength(2);
    expect(judgedBefore(marked, new Answers(path, {}))?.map(({ mark }) => mark.score)).toEqual([1, 0.3]);
    const other = marked.map((each) => ({ ...each, answer: { ...each.answer, text: 'else' } }));
    expect(judgedBefore(other, new Answers(path, {}))).toBeUndefined();
    await grades(other, judge, new Answers(path, {}));
    expect(requests).toHaveLength(4);
  });

  it('are asked for again, hotter, where a reply has none', async () => {
    reply = ({ temperature }) => says(temperature < 1 ? 'I would say: good' : '0.9');
    expect(await grades(marked.slice(0, 1), { ...judge, key: null }, new Answers(null, {}))).toEqual([['0', 0.9]]);
    expect(requests.map(({ temperature, authorization }) => [temperature, authorization])).toEqual([
      [0, undefined],
      [0.5, undefined],
      [1, undefined],
    ]);
  });

  it('that never come are an error that names the endpoint', async () => {
    const failing = (with_: Judge = judge) => grades(marked.slice(0, 1), with_, new Answers(null, {}));
    reply = () => says('good');
    await expect(failing()).rejects.toThrow(`Option --judge (${judge.url}): expected a grade from 0.0 to 1.0 of 0, received "good"`);
    reply = () => ({ status: 401, text: 'no' });
    await expect(failing()).rejects.toThrow('expected an answer, received status 401');
    reply = () => ({ text: '{}' });
    await expect(failing()).rejects.toThrow('expected choices[0].message.content, received "{}"');
    await expect(failing({ ...judge, url: 'http://127.0.0.1:1/v1' })).rejects.toThrow('expected an endpoint that answers, received');
    await expect(failing({ ...judge, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
