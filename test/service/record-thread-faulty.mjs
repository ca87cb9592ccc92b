// The thread of the record, which goes wrong when one of the files FOLDER.exits, FOLDER.throws, FOLDER.hangs is there. Uses dist/.
import { existsSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

const nap = new Int32Array(new SharedArrayBuffer(4));
const isAsked = (fault) => existsSync(`${workerData.folder}.${fault}`);

setInterval(() => {
  if (isAsked('exits')) process.exit(1);
  if (isAsked('throws')) throw new Error('a bug of the thread');
  while (isAsked('hangs')) Atomics.wait(nap, 0, 0, 20);
}, 5).unref();
await import('../../dist/service/recording/worker.js');
