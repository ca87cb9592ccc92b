/** Commands that need no engine, in this process: a child takes a second and more to start. */
import { Command } from 'commander';
import { vi } from 'vitest';
import { addCheckConfig } from '../../src/cli/check-config.js';
import { addEval } from '../../src/cli/eval.js';
import { report } from '../../src/cli/failure.js';
import { addLabel } from '../../src/cli/label.js';
import { addModel } from '../../src/cli/model.js';
import { addPrintConfig } from '../../src/cli/print-config.js';
import { addSchema } from '../../src/cli/schema.js';

/** The commands about configurations, labels, models and scores, as main.ts runs them. */
export async function mipha(...args: string[]) {
  const written = { stdout: '', stderr: '' };
  const program = new Command('mipha').exitOverride().configureOutput({ writeErr: (text) => process.stderr.write(text) });
  for (const add of [addCheckConfig, addEval, addLabel, addModel, addPrintConfig, addSchema]) add(program);
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += String(text);
      return true;
    }),
  );
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    await program.parseAsync(args, { from: 'user' });
    return { code: process.exitCode ?? 0, ...written };
  } catch (error) {
    return { code: report(error, false), ...written };
  } finally {
    process.exitCode = before;
    for (const spy of spies) spy.mockRestore();
  }
}
