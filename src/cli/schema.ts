import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { nearestKey, optionError } from '../errors.js';
import { makeFolder } from '../make-folder.js';
import { jsonSchemaOf, schemaNames } from '../service/json-schemas.js';
import { printJson } from './output.js';

export function addSchema(program: Command): void {
  program
    .command('schema')
    .description('The JSON Schema of an MQTT payload, or of the configuration file; without a name: the names.')
    .argument('[name]', 'e.g. result, query-request or config')
    .option('--out <folder>', 'write all of them into this folder, one file each')
    .action(schema);
}

async function schema(name: string | undefined, { out }: { out?: string }): Promise<void> {
  if (out !== undefined) {
    if (name !== undefined) throw optionError('name', 'none beside --out, which writes all', name);
    await makeFolder(out).catch(({ code }: NodeJS.ErrnoException) => {
      throw optionError('out', `a folder that can be made and written (${code})`, out);
    });
    for (const each of schemaNames) await writeFile(join(out, `${each}.schema.json`), `${JSON.stringify(jsonSchemaOf(each), null, 2)}\n`);
    process.stderr.write(`${schemaNames.length} schemas in ${out}\n`);
  } else if (name === undefined) {
    process.stdout.write(`${schemaNames.join('\n')}\n`);
  } else {
    if (!schemaNames.includes(name)) throw optionError('name', `one of ${schemaNames.join(', ')}`, name, nearestKey(name, schemaNames));
    printJson(jsonSchemaOf(name));
  }
}
