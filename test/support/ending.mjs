// Ways for a program to end while an engine is at work; run by test/engine/storm.test.ts. Says its argument when the right point was reached.
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Mipha } from '../../dist/index.js';

const NANO = fileURLToPath(new URL('../../models/mipha-nano', import.meta.url));
const PICTURE = fileURLToPath(new URL('../fixtures/eval/pictures/0000.png', import.meta.url));
const ENDLESS = { temperature: 100, seed: 3, maxTokens: 350 };
const how = isMainThread ? process.argv[2] : workerData;

if (how === 'workers') {
  const endless = new Worker(new URL(import.meta.url), { workerData: 'forever' });
  await new Promise((resolve) => endless.once('message', resolve));
  const answering = new Worker(new URL(import.meta.url), { workerData: 'answer' });
  const answered = new Promise((resolve) => answering.once('message', resolve));
  await endless.terminate();
  if ((await answered).length > 10) console.log(how);
} else {
  const mipha = await Mipha.load(NANO);
  const view = await mipha.look(PICTURE);
  if (how === 'idle') {
    await view.ask('Is the door closed?', { maxTokens: 3 });
    console.log(how);
  } else if (how === 'answer') {
    parentPort.postMessage((await view.ask('Describe the scene.')).text);
    await mipha.dispose();
  } else {
    for await (const _ of view.stream('Describe the scene.', ENDLESS)) {
      if (how === 'forever') parentPort.postMessage('begun');
      if (how === 'throw') throw new Error('on purpose');
      if (how !== 'exit') continue;
      console.log(how);
      process.exit(0);
    }
  }
}
