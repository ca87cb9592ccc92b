/** What a segment holds: counted line by line, in the same way while it is written and when it is read again. */
import { z } from 'zod';
import { blocks, folderBlocks } from './disk.js';
import type { RecordLine } from './lines.js';

export const LOG_FILE = 'log.ndjson';
const NAME = /^\d{8,}$/;
const PICTURE = /^\d{6,}\.jpg$/;

const count = z.int().nonnegative();
const place = z.strictObject({ session: z.string(), mono_ms: z.number() }).nullable();

export const segmentSchema = z.strictObject({
  /** A running number, of all watches of the recorder: the lower, the older. */
  name: z.string().regex(NAME),
  /** Nothing is written to it any more, and it is on the disk. */
  sealed: z.boolean(),
  log_bytes: count,
  lines: count,
  /** Lines that cannot be read. */
  damaged: count,
  frames: count,
  answers: count,
  events: count,
  suppressed: count,
  pictures: count, // that are there
  picture_bytes: count,
  picture_blocks: count, // bytes, as they are taken on the disk
  /** Of the name of the newest picture; 0 once it is sealed. */
  picture_number: count,
  lost_frames: count,
  lost_lines: count,
  /** By the wall clock, whichever way it jumped. */
  earliest: z.string().nullable(),
  latest: z.string().nullable(),
  sessions: z.array(z.string()),
  /** How long its sessions ran, between their first and last lines here. */
  ran_ms: z.number().nonnegative(),
  first: place,
  last: place,
});
export type Segment = z.infer<typeof segmentSchema>;

export function newSegment(name: string): Segment {
  const counts = { lines: 0, damaged: 0, frames: 0, answers: 0, events: 0, suppressed: 0, lost_frames: 0, lost_lines: 0 };
  const pictures = { pictures: 0, picture_bytes: 0, picture_blocks: 0, picture_number: 0 };
  const times = { earliest: null, latest: null, sessions: [], ran_ms: 0, first: null, last: null };
  return { name, sealed: false, log_bytes: 0, ...counts, ...pictures, ...times };
}

/** Nothing is written to it any more. */
export function seal(segment: Segment): void {
  segment.sealed = true;
  segment.picture_number = 0;
}

export function isSegmentName(name: string): boolean {
  return NAME.test(name);
}

export function segmentName(number: number): string {
  return String(number).padStart(8, '0');
}

export function isPictureName(name: string): boolean {
  return PICTURE.test(name);
}

export function pictureName(number: number): string {
  return `${String(number).padStart(6, '0')}.jpg`;
}

/** What it takes on the disk, in bytes. */
export function footprint({ log_bytes, pictures, picture_blocks }: Segment): number {
  return folderBlocks(pictures) + blocks(log_bytes) + picture_blocks;
}

/** What counting needs of a line. */
export interface LineFacts {
  kind: RecordLine['kind'];
  at: string;
  monoMs: number;
  session?: string; // of a start
  lost?: { frames: number; lines: number };
}

export function factsOf(line: RecordLine): LineFacts {
  const facts = { kind: line.kind, at: line.at, monoMs: line.mono_ms };
  if (line.kind === 'start') return { ...facts, session: line.session };
  return line.kind === 'lost' ? { ...facts, lost: { frames: line.frames, lines: line.lines } } : facts;
}

export function countLine(segment: Segment, { kind, at, monoMs, session = segment.last?.session ?? '', lost }: LineFacts): void {
  segment.lines++;
  if (kind === 'frame') segment.frames++;
  else if (kind === 'answer') segment.answers++;
  else if (kind === 'event') segment.events++;
  else if (kind === 'suppressed') segment.suppressed++;
  segment.lost_frames += lost?.frames ?? 0;
  segment.lost_lines += lost?.lines ?? 0;
  if (segment.earliest === null || at < segment.earliest) segment.earliest = at;
  if (segment.latest === null || at > segment.latest) segment.latest = at;
  if (!segment.sessions.includes(session)) segment.sessions.push(session);
  // a frame's line tells of its capture, which may lie before the line above
  if (segment.last?.session === session) {
    segment.ran_ms += Math.max(0, monoMs - segment.last.mono_ms);
    segment.last.mono_ms = Math.max(segment.last.mono_ms, monoMs);
  } else {
    segment.last = { session, mono_ms: monoMs };
  }
  segment.first ??= { session, mono_ms: monoMs };
}

export function countPicture(segment: Segment, file: string, bytes: number): void {
  segment.pictures++;
  segment.picture_bytes += bytes;
  segment.picture_blocks += blocks(bytes);
  segment.picture_number = Math.max(segment.picture_number, Number.parseInt(file, 10));
}
