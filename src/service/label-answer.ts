/** The verb `label`: what somebody says about an answer, kept beside the record. */
import { MiphaError } from '../errors.js';
import { RequestError } from '../mqtt/request-error.js';
import type { RequestOf, ResponseOf } from '../mqtt/request-schemas.js';
import { addLabels, type Label } from '../record/labels.js';
import { reasonOf } from '../state-files.js';
import { misfit } from '../watch/fits.js';
import type { WatchSpec } from '../watch/spec.js';
import type { RecordKeeper } from './recording/keeper.js';

/** What was answered a moment ago may not be on the disk yet. */
const SETTLE_MS = 1000;

/** `folder` is the recorder's; undefined: there is none. Throws RequestErrors. */
export async function labelAnswer(
  { watch, answer, verdict, value }: RequestOf<'label'>,
  spec: Pick<WatchSpec, 'answer'>,
  folder: string | undefined,
  record: Pick<RecordKeeper, 'settle'>,
): Promise<ResponseOf<'label'>> {
  if (value !== undefined) {
    const expected = verdict === 'right' ? 'none with the verdict right' : misfit(spec.answer, value);
    if (expected !== null)
      throw new RequestError('SCHEMA', `value: expected ${expected}, received ${shown(value)}`, { refs: [{ key: 'value', value: shown(value) }] });
  }
  const label: Label = { answer, verdict, ...(value === undefined ? {} : { value }), at: new Date().toISOString() };
  const isUnknown = async () => folder === undefined || (await add(folder, watch, label));
  if (!(await isUnknown())) return { watch, answer };
  await record.settle(SETTLE_MS);
  if (!(await isUnknown())) return { watch, answer };
  const refs = [
    { key: 'watch', value: watch },
    { key: 'answer', value: answer },
  ];
  throw new RequestError('UNKNOWN_ANSWER', `answer: expected the id of a recorded answer of the watch ${watch}, received ${shown(answer)}`, { refs });
}

/** True: the record does not have the answer. */
async function add(folder: string, watch: string, label: Label): Promise<boolean> {
  try {
    return (await addLabels(folder, watch, [label])).unknown.length > 0;
  } catch (error) {
    if (error instanceof MiphaError) throw error;
    throw new RequestError('ENGINE_FAULT', `The label could not be kept (${reasonOf(error)})`, { retryable: true, cause: error });
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
