/** The engines of a package on this machine: PACKAGE/engines/KEY/plan.json and the plans beside it. Local to the device, never part of the package. */
import { readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MiphaError } from '../../errors.js';
import { readText } from '../checkpoint.js';
import { parseJson } from '../format.js';
import { hashFile } from '../hash.js';
import { MANIFEST_FILE } from '../manifest.js';
import { writeDurably } from '../output.js';
import { difference, type MachineFacts } from './key.js';

export const ENGINES_FOLDER = 'engines';
export const PLAN_FILE = 'plan.json';

const text = z.string().max(300);
const planSegmentSchema = z.strictObject({
  name: text,
  bytes: z.int().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  attempt: text, // name of the way that it was built
  level: z.int().min(0).max(5),
  switches: text.nullable(),
  wide: z.boolean(),
  share: z.number().min(0).max(1), // of the limit, the largest deviation from the stored tensors
  buildMs: z.number().min(0),
});
export type PlanSegment = z.infer<typeof planSegmentSchema>;

export const planSchema = z.strictObject({
  formatVersion: z.literal(1),
  key: z.string().regex(/^[0-9a-f]{16}$/),
  identity: z.strictObject({
    package: text,
    tensorrt: text,
    headers: text,
    cudaRuntime: z.int(),
    cudaDriver: z.int(),
    gpu: text,
    computeCapability: z.int(),
    interfaceVersion: z.int(),
    segments: z.int(),
    maxRows: z.int(),
    cacheRows: z.int(),
    level: z.int(),
    workspaceBytes: z.int(),
  }),
  complete: z.boolean(), // every segment is there
  segments: z.array(planSegmentSchema),
});
export type Plan = z.infer<typeof planSchema>;

export const planFile = (folder: string, segment: string): string => join(folder, `${segment}.plan`);

export async function readPlan(folder: string): Promise<Plan | undefined> {
  const path = join(folder, PLAN_FILE);
  const content = await readFile(path, 'utf8').catch(() => undefined);
  return content === undefined ? undefined : parseJson(path, content, planSchema);
}

/** Appears whole or not at all. */
export async function writePlan(folder: string, plan: Plan): Promise<void> {
  const path = join(folder, PLAN_FILE);
  await writeDurably(`${path}.partial`, new TextEncoder().encode(`${JSON.stringify(planSchema.parse(plan), null, 2)}\n`));
  await rename(`${path}.partial`, path);
}

/** In words what is wrong with a plan's file; undefined when its bytes are those that were built. */
export async function fault(folder: string, { name, bytes, sha256 }: PlanSegment): Promise<string | undefined> {
  const path = planFile(folder, name);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return `${path} is missing`;
  if (found.size !== bytes) return `${path}: expected ${bytes} bytes, received ${found.size}`;
  return (await hashFile(path)).sha256 === sha256 ? undefined : `${path} is damaged: its sha256 is not the one that was built`;
}

/**
 * The folder of whole engines of the package for this machine; of several (other options) the one that was built last.
 * Throws ERR_BACKEND_UNAVAILABLE saying what is wrong with each that is there.
 */
export async function findPlans(packageFolder: string, facts: MachineFacts): Promise<{ folder: string; plan: Plan }> {
  const manifestText = await readText(join(packageFolder, MANIFEST_FILE));
  const root = join(packageFolder, ENGINES_FOLDER);
  const names = await readdir(root).catch(() => [] as string[]);
  const reasons: string[] = [];
  const usable: { folder: string; plan: Plan; builtMs: number }[] = [];
  for (const name of names.sort()) {
    const folder = join(root, name);
    const reason = await examine(folder, manifestText, facts, (plan, builtMs) => usable.push({ folder, plan, builtMs }));
    if (reason !== undefined) reasons.push(`${folder}: ${reason}`);
  }
  const newest = usable.sort((a, b) => b.builtMs - a.builtMs)[0];
  if (newest !== undefined) return newest;
  const found = reasons.length === 0 ? 'none was built' : reasons.join('; ');
  throw new MiphaError('ERR_BACKEND_UNAVAILABLE', `${packageFolder} has no engines for this machine (${found}): mipha build ${packageFolder}`, {
    details: { path: root, reasons },
  });
}

async function examine(
  folder: string,
  manifestText: string,
  facts: MachineFacts,
  accept: (plan: Plan, builtMs: number) => void,
): Promise<string | undefined> {
  try {
    const plan = await readPlan(folder);
    if (plan === undefined) return `no ${PLAN_FILE}`;
    const other = difference(plan.identity, manifestText, facts);
    if (other !== undefined) return other;
    if (!plan.complete) return 'the build was not finished';
    for (const segment of plan.segments) {
      const wrong = await fault(folder, segment);
      if (wrong !== undefined) return wrong;
    }
    accept(plan, (await stat(join(folder, PLAN_FILE))).mtimeMs);
    return undefined;
  } catch (error) {
    if (!(error instanceof MiphaError)) throw error;
    return error.message;
  }
}
