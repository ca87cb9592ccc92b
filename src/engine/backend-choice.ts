/** Which backend runs a package: those that `auto` tries, best first, and what each of them needs of this machine. */
import { existsSync } from 'node:fs';
import type { TensorRtOptions } from '../addon/addon.js';
import { cudaLibrary, loadAddon, tensorRtLibrary } from '../addon/load.js';
import { type CallSite, callSite, type ErrorCode, fromNative, MiphaError } from '../errors.js';
import { findPlans } from '../package/plans/plan.js';
import type { Backend } from './backends.js';
import type { Engine, EngineOptions } from './engine.js';

/** Failures of a backend after which `auto` takes the next one. */
const PASSED_OVER: ErrorCode[] = ['ERR_BACKEND_UNAVAILABLE', 'ERR_SELF_TEST', 'ERR_MEMORY', 'ERR_DEVICE', 'ERR_MODEL_MISSING'];

/** A backend that `auto` would have preferred, and why it is not in use. */
export interface PassedOver {
  backend: string;
  code: ErrorCode;
  reason: string;
}

/** Best first. `auto` does not speak of a backend whose library is not there: most machines have none. */
export function candidates(backend: Backend): string[] {
  if (backend !== 'auto') return [backend];
  return [...(existsSync(tensorRtLibrary()) ? ['tensorrt'] : []), ...(existsSync(cudaLibrary()) ? ['cuda'] : []), 'cpu'];
}

/** What only the backend `name` is told. Throws ERR_BACKEND_UNAVAILABLE. */
export async function optionsOf(name: string, folder: string, threads: number, site: CallSite): Promise<Pick<EngineOptions, 'cpu' | 'tensorrt'>> {
  if (name === 'tensorrt') return { tensorrt: await findEngines(folder, site) };
  if (name === 'cuda') {
    findCuda(); // the addon opens the same one
    return {};
  }
  return { cpu: { threads, isa: '', streamWeights: false } };
}

/** The first that opens; why the others did not is added to `passedOver`. */
export async function openFirst(names: string[], passedOver: PassedOver[], open: (name: string) => Promise<Engine>): Promise<Engine> {
  for (const backend of names.slice(0, -1)) {
    try {
      return await open(backend);
    } catch (error) {
      if (!(error instanceof MiphaError) || !PASSED_OVER.includes(error.code)) throw error;
      passedOver.push({ backend, code: error.code, reason: error.message });
    }
  }
  return await open(names.at(-1) as string);
}

/** Whether this machine has what the backend needs to run the package, without loading anything. Throws ERR_BACKEND_UNAVAILABLE. */
export async function proveBackend(folder: string, backend: Backend): Promise<void> {
  const site = callSite(proveBackend);
  if (backend === 'tensorrt') await findEngines(folder, site);
  if (backend === 'cuda') await told(loadAddon().cudaFacts(findCuda()), site);
}

/** Library and plans of the TensorRT backend. Throws ERR_BACKEND_UNAVAILABLE. */
async function findEngines(folder: string, site: CallSite): Promise<TensorRtOptions> {
  const library = tensorRtLibrary();
  const facts = await told(loadAddon().tensorrtFacts(library), site);
  return { library, plans: (await findPlans(folder, facts)).folder };
}

/** Path of the CUDA backend's library. Throws ERR_BACKEND_UNAVAILABLE where it is not there; whether it runs is seen when it is opened. */
function findCuda(): string {
  const library = cudaLibrary();
  if (existsSync(library)) return library;
  const advice = 'npm run build:cuda compiles it (installed: npm rebuild mipha-edge); `mipha doctor` says what this machine needs for that';
  throw new MiphaError('ERR_BACKEND_UNAVAILABLE', `CUDA: ${library} is not there: ${advice}`);
}

async function told<T>(facts: Promise<T>, site: CallSite): Promise<T> {
  try {
    return await facts;
  } catch (error) {
    throw fromNative(error, site);
  }
}
