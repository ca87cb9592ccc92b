// What a program sees of a device that fails; run by test/engine/cuda.test.ts with what the machine without a GPU is to do in its environment.
// Prints JSON.
import { fileURLToPath } from 'node:url';
import { cudaLibrary, loadAddon } from '../../dist/addon/load.js';
import { Mipha } from '../../dist/index.js';

const NANO = fileURLToPath(new URL('../../models/mipha-nano', import.meta.url));
const PICTURE = fileURLToPath(new URL('../fixtures/eval/pictures/0000.png', import.meta.url));
const ENDLESS = { temperature: 100, seed: 3, maxTokens: 350 };

/** The error of a promise. */
const failure = (promise) =>
  promise.then(
    () => null,
    ({ code, message, details, retryable }) => ({ code, message, details, retryable }),
  );
/** Whatever `auto` takes. */
async function load() {
  const mipha = await Mipha.load(NANO);
  const { backend, passedOver } = mipha.status();
  return { mipha, backend, passedOver: passedOver.map(({ backend, code }) => `${backend} ${code}`) };
}

const seen = {};
if (process.argv[2] === 'lost') {
  const { mipha, backend } = await load();
  const view = await mipha.look(PICTURE);
  const read = async () => {
    for await (const _ of view.stream('Describe the scene.', ENDLESS));
  };
  const two = ['Describe the scene.', 'What is it?'].map((question) => ({ question, ...ENDLESS }));
  const calls = [view.askAll(two), read(), ...Array.from({ length: 6 }, () => view.ask('Is it?', ENDLESS))]; // one more than a batch: it waits
  seen.backend = backend;
  seen.underWay = await Promise.all(calls.map(failure));
  seen.later = [await failure(view.ask('Is the lamp on?')), await failure(mipha.look(PICTURE))];
  await view.dispose();
  await mipha.dispose();
  seen.disposed = await failure(mipha.look(PICTURE));
} else {
  seen.facts = await loadAddon().cudaFacts(cudaLibrary());
}
seen.byName = await failure(Mipha.load(NANO, { backend: 'cuda' }));
if (process.argv[2] !== 'lost') seen.after = await loadAddon().cudaFacts(cudaLibrary());
const { mipha, backend, passedOver } = await load();
seen.auto = { backend, passedOver, text: (await mipha.ask('Is the lamp on?')).text };
await mipha.dispose();
seen.handles = loadAddon().handles();
console.log(JSON.stringify(seen));
