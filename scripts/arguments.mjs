// The arguments of a script: --help prints its usage, an unknown one ends it with status 2. No dependencies, as the scripts themselves.
import util from 'node:util'; // named, parseArgs would keep old versions of Node from being told so

/**
 * `positionals`: how many there may be; `options`: as for util.parseArgs. Gives { values, positionals }, or ends the process: status 0 after --help,
 * 2 with what is wrong and the usage on stderr.
 */
export function readArguments(usage, { positionals: most = 0, options = {} } = {}) {
  let parsed;
  try {
    parsed = util.parseArgs({ options: { ...options, help: { type: 'boolean', short: 'h' } }, allowPositionals: true });
  } catch (error) {
    refuse(usage, error.message.split('.')[0]);
  }
  if (parsed.values.help) {
    console.log(usage);
    process.exit(0);
  }
  if (parsed.positionals.length > most) refuse(usage, `unknown argument ${parsed.positionals[most]}`);
  return parsed;
}

/** Ends the process with status 2. */
export function refuse(usage, message) {
  console.error(`${message}\n${usage}`);
  process.exit(2);
}

/** A whole number of at least `min`; `fallback` where nothing was given. */
export function wholeNumber(usage, name, text, fallback, min = 1) {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (Number.isInteger(value) && value >= min) return value;
  return refuse(usage, `${name}: expected a whole number from ${min}, received ${text}`);
}

/** One of `known`; the first where nothing was given. */
export function oneOf(usage, name, text, known) {
  if (text === undefined) return known[0];
  return known.includes(text)
    ? text
    : refuse(usage, `${name}: expected one of ${known.filter((word) => word !== undefined).join(', ')}, received ${text}`);
}

/** A module of dist/; where nothing is compiled yet the process ends with status 1 and says how. */
export async function fromDist(path) {
  try {
    return await import(new URL(`../dist/${path}`, import.meta.url).href);
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    console.error(`dist/${path} is not there: npm run setup`);
    process.exit(1);
  }
}
