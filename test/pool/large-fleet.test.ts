/** 200 nodes and 2000 watches on one broker: a process that only asks stays small and chooses at once, and loads neither addon nor camera. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connectAsync } from 'mqtt';
import { expect, it } from 'vitest';
import { node, ROOT } from '../cli/run.js';
import { startMosquitto } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { retainedOf } from './retained.js';

const NODES = 200;
const WATCHES = 10; // of each
const MOST_BYTES = 100e6;

/** Opens a pool as a user does, asks nobody, and measures. */
const PROGRAM = `
import { openPool } from ${JSON.stringify(pathToFileURL(join(ROOT, 'dist', 'pool', 'index.js')).href)};
import { Nodes } from ${JSON.stringify(pathToFileURL(join(ROOT, 'dist', 'pool', 'nodes.js')).href)};
const pool = await openPool({ url: process.argv[2] });
const { nodes } = pool.status();
const all = pool.nodes;
if (!(all instanceof Nodes)) throw new Error('a pool has its nodes elsewhere');
const times = [];
for (let i = 0; i < 2000; i++) {
  const began = performance.now();
  const found = all.pick({ camera: 'front', labels: [['line', '7']], watch: 'watch-3' }, new Set(), began, Math.random);
  times.push(performance.now() - began);
  if (found === undefined) throw new Error('nobody');
}
times.sort((a, b) => a - b);
const bytes = process.memoryUsage().rss;
const objects = process.report.getReport().sharedObjects.filter((path) => path.endsWith('.node'));
console.log(JSON.stringify({ nodes: nodes.length, ready: nodes.filter(({ state }) => state === 'ready').length, p95Ms: times[1900], bytes, objects }));
await pool.close();
`;

describeWith(['mosquitto'], 'a pool of 200 nodes with 2000 watches', () => {
  it('takes less than 100 MB, chooses within a millisecond, and needs no addon', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mipha-pool-'));
    await using broker = await startMosquitto({ config: ['max_queued_messages 0'] });
    const client = await connectAsync(broker.url, { protocolVersion: 5 });
    try {
      const published: Promise<unknown>[] = [];
      for (let i = 0; i < NODES; i++) {
        for (const [leaf, payload] of retainedOf(`node-${i}`, { labels: { line: `${i % 10}` }, watches: WATCHES })) {
          published.push(client.publishAsync(`mipha/v1/node-${i}/${leaf}`, payload, { qos: 1, retain: true }));
        }
      }
      await Promise.all(published);
      const program = join(folder, 'program.mjs');
      await writeFile(program, PROGRAM);
      const { code, stdout, stderr } = await node([program, broker.url]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const seen = JSON.parse(stdout);

      expect(seen).toMatchObject({ nodes: NODES, ready: NODES, objects: [] });
      expect(seen.bytes).toBeLessThan(MOST_BYTES);
      expect(seen.p95Ms).toBeLessThan(1);
    } finally {
      await client.endAsync(true);
      await rm(folder, { recursive: true });
    }
  });
});
