/** Lines as a recorder takes them: as they will stand in the log. */
import type { AnswerLine, EventLine, FrameLine, MarkLine, OpinionLine, RecordLine, Start, SuppressedLine } from './lines.js';
import type { Item } from './queue.js';
import { factsOf } from './segment.js';

export type NewLine = AnswerLine | OpinionLine | EventLine | SuppressedLine | MarkLine;
/** The recorder adds the picture's name and size. */
export type NewFrame = Omit<FrameLine, 'file' | 'bytes'>;

const FRAME_END_BYTES = 64; // `,"file":"000001.jpg","bytes":40000}` and a line feed

/** `at`: ISO; `mono_ms`: of the session's monotonic clock. `isAgain`: at the beginning of a segment. */
export function startItem(
  session: string,
  watch: string,
  { camera, spec, timezone, model }: Start,
  times: Pick<RecordLine, 'at' | 'mono_ms'>,
  isAgain = false,
): Item {
  const line: RecordLine = { kind: 'start', v: 1, ...times, session, watch, camera, spec, timezone, model, ...(isAgain && { again: true as const }) };
  const text = JSON.stringify(line);
  return { text, bytes: Buffer.byteLength(text) + 1, facts: factsOf(line), isFrame: false, jpeg: null, start: { camera, spec, timezone, model } };
}

/** One whose text was made by another thread: sending the rest with it costs that more than reading it again costs this one. */
export function itemOf(text: string, isFrame: boolean): Item {
  const line = JSON.parse(isFrame ? `${text}}` : text) as RecordLine;
  const item = { text, bytes: Buffer.byteLength(text) + (isFrame ? FRAME_END_BYTES : 1), facts: factsOf(line), isFrame, jpeg: null };
  if (line.kind !== 'start') return item;
  const { camera, spec, timezone, model } = line;
  return { ...item, start: { camera, spec, timezone, model } };
}

export function lineItem(line: NewLine): Item {
  const text = JSON.stringify(line);
  return { text, bytes: Buffer.byteLength(text) + 1, facts: factsOf(line), isFrame: false, jpeg: null };
}

export function frameItem(line: NewFrame, jpeg: Uint8Array | null): Item {
  const text = JSON.stringify(line).slice(0, -1);
  const facts = { kind: 'frame' as const, at: line.at, monoMs: line.mono_ms };
  return { text, bytes: Buffer.byteLength(text) + FRAME_END_BYTES, facts, isFrame: true, jpeg };
}
