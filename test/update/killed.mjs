/**
 * Installs a release into a models folder, as a node does, with models that are only opened and checked; killed by itself at the call of the file system
 * whose number it is given. Arguments: dist, models folder, folder of releases, release, key, number (0: never). Prints "calls N" when it is done.
 */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const [dist, models, folder, source, key, at] = process.argv.slice(2);
let calls = 0;
const count = () => {
  if (++calls === Number(at)) process.kill(process.pid, 'SIGKILL');
};
for (const name of ['open', 'rename', 'rm', 'mkdir', 'writeFile', 'readdir', 'chown']) {
  const real = promises[name];
  promises[name] = async (...call) => {
    count();
    const result = await real(...call);
    count();
    return result;
  };
}
syncBuiltinESMExports();

const { ModelsFolder } = await import(`${dist}/update/models-folder.js`);
const { Updater } = await import(`${dist}/update/updater.js`);
const { openPackage } = await import(`${dist}/package/verify.js`);

const model = async (path) => {
  if (path !== undefined) await openPackage(path);
  return { dispose: async () => {} };
};
const place = new ModelsFolder(models, null, [key]);
const begun = await place.begin();
let seated = await model(begun.folder);
const updater = new Updater({
  models: place,
  begun,
  rules: { folder, origins: [] },
  seat: {
    load: model,
    hold: async () => () => {},
    put: (next) => {
      const before = seated;
      seated = next;
      return before;
    },
    failed: (error) => {
      throw error;
    },
  },
  score: async () => [],
  own: { name: 'own', release: null },
  trialMs: 1e6,
});
await updater.start();
const done = new Promise((resolve) => updater.on('outcome', resolve));
if (source === 'back') updater.rollBack();
else if (updater.status.installed?.release !== source) await updater.install(source, undefined);
if (source === 'back' || updater.status.installed?.release !== source) await done;
await updater.stop();
console.log(`calls ${calls}`);
