/** What an engine depends on: change any of it and the plan is another one. */
import type { TensorRtFacts } from '../../addon/addon.js';
import { sha256Of } from '../hash.js';

/** What the user can choose. */
export interface PlanOptions {
  segments: number; // engines that the language model is cut into
  maxRows: number; // rows of one prefill run
  cacheRows: number; // rows of keys and values
  level: number; // optimization level that is tried first
  workspaceBytes: number; // most that a kernel may use while it is chosen and while it runs
}

export type MachineFacts = Pick<
  TensorRtFacts,
  'tensorrt' | 'headers' | 'cudaRuntime' | 'cudaDriver' | 'gpu' | 'computeCapability' | 'interfaceVersion'
>;

export interface Identity extends PlanOptions, MachineFacts {
  package: string; // sha256 of manifest.json, which names the sha256 of every other file
}

const MACHINE = ['tensorrt', 'headers', 'cudaRuntime', 'cudaDriver', 'gpu', 'computeCapability', 'interfaceVersion'] as const;
const OPTIONS = ['segments', 'maxRows', 'cacheRows', 'level', 'workspaceBytes'] as const;

export function identityOf(manifestText: string, facts: MachineFacts, options: PlanOptions): Identity {
  const chosen = [...MACHINE.map((name) => [name, facts[name]]), ...OPTIONS.map((name) => [name, options[name]])];
  return { package: sha256Of(manifestText), ...Object.fromEntries(chosen) } as Identity;
}

/** Sixteen hexadecimal digits: the name of the plans' folder. */
export function planKey(identity: Identity): string {
  const names = ['package', ...MACHINE, ...OPTIONS] as const;
  return sha256Of(JSON.stringify(names.map((name) => [name, identity[name]]))).slice(0, 16);
}

/** In words, how plans of `identity` differ from what this package and machine need; undefined when they do not. */
export function difference(identity: Identity, manifestText: string, facts: MachineFacts): string | undefined {
  if (identity.package !== sha256Of(manifestText)) return 'built from another state of the package';
  const name = MACHINE.find((fact) => identity[fact] !== facts[fact]);
  return name === undefined ? undefined : `built with ${name} ${identity[name]}, this is ${facts[name]}`;
}
