/** How fast this machine reads memory with all cores: the ceiling of decoding, which reads every weight once per token. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const ROLE = 'mipha-read-bandwidth';
const BUFFER_BYTES = 128 * 2 ** 20; // far beyond any cache, per thread
const MEASURE_MS = 400;

/** Bytes per second, `threads` reading at once. */
export async function readBandwidth(threads: number): Promise<number> {
  const workers = Array.from({ length: threads }, () => new Worker(new URL(import.meta.url), { workerData: ROLE }));
  const messages = () => Promise.all(workers.map((worker) => new Promise<number>((done, fail) => worker.once('message', done).once('error', fail))));
  try {
    await messages(); // all have their buffer in memory
    const rates = messages();
    for (const worker of workers) worker.postMessage('read');
    return (await rates).reduce((sum, rate) => sum + rate, 0);
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

if (!isMainThread && workerData === ROLE) {
  const buffer = Buffer.alloc(BUFFER_BYTES, 1);
  parentPort?.once('message', () => {
    const begin = performance.now();
    let passes = 0;
    while (performance.now() - begin < MEASURE_MS) {
      buffer.indexOf(2); // never found: memchr over the whole buffer
      passes++;
    }
    parentPort?.postMessage((passes * BUFFER_BYTES * 1000) / (performance.now() - begin));
  });
  parentPort?.postMessage(0);
}
