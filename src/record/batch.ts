/** The next lines of one watch, with their pictures, from its queue into its segment: all of them or none. */
import { BLOCK_BYTES, blocks } from './disk.js';
import type { LossReason, LostLine, Start } from './lines.js';
import type { Losses } from './losses.js';
import type { OpenSegment, Picture } from './open-segment.js';
import type { Item, Queue } from './queue.js';
import { factsOf, footprint, type LineFacts, type Segment } from './segment.js';
import { NoRoom, type Store } from './store.js';

const MOST_ITEMS = 64;

/** A watch that is recorded. */
export interface Lane {
  watch: string;
  queue: Queue;
  losses: Losses;
  /** The `start` in force where the log ends, and the segment that has it. */
  start: Start | null;
  startedIn: Segment | null;
}

export interface Moment {
  monoMs: number;
  at: string;
  /** Whatever was lost is told now. */
  tellAll: boolean;
  startItem: (start: Start) => Item;
}

/** Whether there was room for pictures; null: there were none. Throws NoRoom and what the disk says: what is in the queue stays there. */
export async function writeBatch(store: Store, lane: Lane, moment: Moment): Promise<boolean | null> {
  const { queue, losses } = lane;
  const space = await store.space();
  if (!space.lines) throw new NoRoom('the disk is full');
  const folder = await store.folder(lane.watch);
  losses.add('torn', { frames: folder.takeTorn() }, moment.monoMs);
  const segment = await store.segmentOf(folder);
  const drop = (item: Item, reason: LossReason) => {
    queue.dropPicture(item);
    losses.add(reason, { frames: 1 }, moment.monoMs);
  };
  const hadPictures = queue.head(MOST_ITEMS).some(({ jpeg }) => jpeg !== null);
  const items = plan(store, lane, segment, (item) => {
    const reason: LossReason | null = !space.pictures
      ? 'full'
      : blocks(item.jpeg?.length ?? 0) > store.batchBytes
        ? store.isDiskSmall
          ? 'full'
          : 'budget'
        : null;
    if (item.jpeg !== null && reason !== null) drop(item, reason);
  });
  const repeated = lane.start !== null && lane.startedIn !== segment.info && items[0]?.start === undefined ? [moment.startItem(lane.start)] : [];
  // told behind all that was handed over before
  const lost = items.length === queue.length ? losses.due(moment.monoMs, moment.tellAll) : [];
  if (items.length === 0 && lost.length === 0) return null;
  const lostLines = lost.map(([reason, { frames, lines, sinceMs }]): LostLine => {
    return { kind: 'lost', at: moment.at, mono_ms: moment.monoMs, since_ms: sinceMs, frames, lines, reason };
  });
  const told = lostLines.map((line) => `${JSON.stringify(line)}\n`).join('');

  const bytes = [...repeated, ...items].reduce((sum, item) => sum + item.bytes, told.length);
  const pictureBytes = items.reduce((sum, { jpeg }) => sum + blocks(jpeg?.length ?? 0), 0);
  if (!(await store.makeRoom(blocks(bytes) + 2 * BLOCK_BYTES + pictureBytes, pictureBytes === 0))) {
    if (pictureBytes === 0) throw new NoRoom('the disk is full');
    for (const item of items) if (item.jpeg !== null) drop(item, 'full');
    return false; // the lines come next
  }
  if (folder.open !== segment) return null; // it was the oldest one, and had to go
  const pictures: Picture[] = [];
  try {
    let text = '';
    for (const item of [...repeated, ...items]) {
      const picture = item.jpeg === null ? null : await segment.picture(item.jpeg);
      if (picture !== null) pictures.push(picture);
      text += item.isFrame
        ? `${item.text},"file":${picture === null ? 'null' : `"${picture.file}"`},"bytes":${picture?.bytes ?? 0}}\n`
        : `${item.text}\n`;
    }
    await segment.append(text + told, [...repeated, ...items].map(({ facts }): LineFacts => facts).concat(lostLines.map(factsOf)), pictures);
  } catch (error) {
    for (const picture of pictures) await segment.removePicture(picture);
    throw error;
  }
  queue.shift(items.length);
  losses.told(moment.monoMs, lost);
  for (const { start } of items) lane.start = start ?? lane.start;
  lane.startedIn = segment.info;
  return hadPictures ? space.pictures : null;
}

/** As many of the next items as fit into the segment and into a batch, at least one where there is any. */
function plan(store: Store, { queue }: Lane, segment: OpenSegment, checkPicture: (item: Item) => void): readonly Item[] {
  const head = queue.head(MOST_ITEMS);
  let left = store.segmentBytes - footprint(segment.info);
  let leftOfBatch = store.batchBytes;
  let count = 0;
  for (const item of head) {
    checkPicture(item);
    const bytes = item.bytes + blocks(item.jpeg?.length ?? 0);
    if (count > 0 && (bytes > left || bytes > leftOfBatch)) break;
    [left, leftOfBatch] = [left - bytes, leftOfBatch - bytes];
    count++;
  }
  return head.slice(0, count);
}
