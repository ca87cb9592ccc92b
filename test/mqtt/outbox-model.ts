/**
 * A broker and a network that do what they are told, and what ought to be true of an outbox whatever they do. Each rule is a sentence; the first
 * that does not hold is thrown.
 */
import { Outbox } from '../../src/mqtt/outbox.js';
import type { Publish, Wire } from '../../src/mqtt/wire.js';
import type { Dice } from '../support/sequences.js';

export type Operation =
  | { do: 'state' | 'same'; topic: string; lifeS?: number; large?: boolean }
  | { do: 'forget' | 'empty'; topic: string }
  | { do: 'restate'; topic?: string }
  | { do: 'event'; many?: number; large?: boolean; picture?: 'small' | 'large' }
  /** What waits of pictures is not to be shown any more. */
  | { do: 'withdraw' }
  | { do: 'respond'; optional?: boolean; large?: boolean }
  | { do: 'transient'; backlog?: boolean }
  /** The next message reaches the broker, which takes it or will refuse it. */
  | { do: 'arrive'; count: number; refuse?: boolean }
  /** The broker answers to one that has arrived: the oldest, or any. */
  | { do: 'answer'; which: number }
  /** An answer that was for a connection that is gone. */
  | { do: 'ghost'; which: number }
  /** The connection breaks; so many of the messages under way still reach the broker. */
  | { do: 'break'; arrive: number }
  | { do: 'connect'; receiveMaximum: number; maxBytes: number; eager: boolean }
  | { do: 'restore' | 'release' }
  | { do: 'wait'; ms: number };

/** What is true of a whole sequence. */
export interface Setting {
  protocol: '5' | '3.1.1';
  /** States may have a life. */
  mortal: boolean;
  /** Connections may break right after a message. */
  hasty: boolean;
}

export function settingOf(seed: number): Setting {
  return { protocol: seed % 2 === 0 ? '5' : '3.1.1', mortal: seed % 3 === 0, hasty: seed % 5 === 0 };
}

const TOPICS = ['a', 'b', 'c'];
const LARGE = 400;

export function makeOperations({ below, oneOf, weighted }: Dice): Operation[] {
  const one = (): Operation => {
    const kind = weighted({
      state: 16,
      same: 4,
      forget: 7,
      empty: 2,
      restate: 4,
      event: 8,
      withdraw: 1,
      respond: 4,
      transient: 1,
      arrive: 20,
      answer: 20,
      ghost: 2,
      break: 4,
      connect: 6,
      restore: 6,
      release: 5,
      wait: 5,
    });
    switch (kind) {
      case 'state':
        return { do: kind, topic: oneOf(TOPICS), ...(below(2) === 0 ? { lifeS: oneOf([0, 0.3, 3, 100]) } : {}), large: below(12) === 0 };
      case 'same':
      case 'forget':
      case 'empty':
        return { do: kind, topic: oneOf(TOPICS) };
      case 'restate':
        return below(2) === 0 ? { do: kind } : { do: kind, topic: oneOf(TOPICS) };
      case 'event':
        return {
          do: kind,
          many: below(40) === 0 ? 300 : 1 + below(3),
          large: below(20) === 0,
          ...(below(2) === 0 ? { picture: below(8) === 0 ? 'large' : 'small' } : {}),
        };
      case 'respond':
        return { do: kind, optional: below(3) === 0, large: below(10) === 0 };
      case 'transient':
        return { do: kind, backlog: below(3) === 0 };
      case 'arrive':
        return { do: kind, count: 1 + below(4), refuse: below(8) === 0 };
      case 'answer':
      case 'ghost':
        return { do: kind, which: below(3) === 0 ? below(16) : 0 };
      case 'break':
        return { do: kind, arrive: below(5) };
      case 'connect':
        return { do: kind, receiveMaximum: oneOf([1, 2, 3, 65_535]), maxBytes: oneOf([300, 100_000]), eager: below(2) === 0 };
      case 'wait':
        return { do: kind, ms: oneOf([1, 400, 2500, 20_000, 61_000, 600_001]) };
      default:
        return { do: kind };
    }
  };
  return Array.from({ length: 5 + below(60) }, one);
}

function must(rule: string, holds: boolean, more: unknown = ''): void {
  if (!holds) throw new Error(`${rule} ${more === '' ? '' : JSON.stringify(more)}`);
}

/** What was last said about a topic. */
interface Said {
  text: string; // empty: forgotten
  expiresAt: number | null;
}

interface Message {
  publish: Publish;
  done: (refusal: Error | null) => void;
  refused: boolean;
}

/** One connection, with what is under way on it and what waits for an answer. */
class FakeWire implements Wire {
  readonly underWay: Message[] = [];
  readonly arrived: Message[] = [];
  backlogBytes = 0;
  /** States answered on this connection, by topic. */
  readonly answered = new Map<string, string>();
  readonly asked = new Set<string>(); // restated since
  readonly excused = new Set<string>(); // refused, too large, or may have expired before their turn
  restored = false;
  settled = false;
  released = false;
  /** The picture sent last, and whether the broker has taken it. */
  picture: { id: number; taken: boolean } | null = null;

  constructor(
    readonly protocol: '5' | '3.1.1',
    readonly receiveMaximum: number,
    readonly maxPacketBytes: number,
    /** Releases events as soon as states are settled, in the middle of whatever is going on. */
    readonly eager: boolean,
    private readonly onPublish: (publish: Publish) => void,
  ) {}

  publish(publish: Publish, done: (refusal: Error | null) => void): void {
    this.onPublish(publish);
    if (publish.qos === 0) done(null);
    else this.underWay.push({ publish, done, refused: false });
  }
  async subscribe(): Promise<void> {}
  async unsubscribe(): Promise<void> {}
  readonly offersShared = true;
  breakOff(): void {}

  get unacknowledged(): Message[] {
    return [...this.arrived, ...this.underWay];
  }
}

export class World {
  private clock = 1_000_000;
  private readonly box: Outbox;
  private wire: FakeWire | undefined;
  private readonly ghosts: Message[] = [];
  private connections = 0;
  private serial = 0;
  private lastAlert = '';
  private readonly said = new Map<string, Said>();
  /** The broker's. */
  private readonly retained = new Map<string, { text: string; until: number }>();
  private readonly fresh = new Set<number>();
  private readonly seen = new Set<number>();
  /** Of events: when and in which connection they were made; whether they were ever sent, and how they ended. */
  private readonly events = new Map<number, { at: number; connection: number; sent: boolean; over: boolean; picture: boolean }>();
  private readonly pictures = { given: 0, answered: 0, without: new Set<number>(), taken: new Set<number>(), withdrawn: 0 };
  private lastFirst = -1;
  private readonly responses = new Map<string, { wire: FakeWire; sent: boolean }>();
  private readonly given = { events: 0, responses: 0, transients: 0 };
  private readonly answers = { states: 0, statesRefused: 0, others: 0, othersRefused: 0 };
  private statesTooLarge = 0;

  constructor(private readonly setting: Setting) {
    this.box = new Outbox({ maxPacketBytes: 1_000_000, onRefused: (topic, reason) => this.refused(topic, reason) });
  }

  /** The clock that the outbox must see. */
  readonly now = () => this.clock;

  do(operation: Operation): void {
    this.perform(operation);
    this.checkNothingIsStuck();
  }

  private perform(operation: Operation): void {
    const { box, wire } = this;
    switch (operation.do) {
      case 'state':
        this.state(operation.topic, operation.lifeS, operation.large);
        break;
      case 'same': {
        const said = this.said.get(operation.topic);
        if (said !== undefined && said.text !== '' && said.expiresAt === null) box.state(operation.topic, Buffer.from(said.text));
        break;
      }
      case 'forget':
        this.said.set(operation.topic, { text: '', expiresAt: null });
        box.forget(operation.topic);
        break;
      case 'empty': // a state like any other, though brokers keep nothing of it
        this.said.set(operation.topic, { text: '', expiresAt: null });
        box.state(operation.topic, Buffer.alloc(0));
        break;
      case 'restate':
        for (const topic of operation.topic === undefined ? this.said.keys() : [operation.topic]) wire?.asked.add(topic);
        box.restate(operation.topic);
        break;
      case 'event':
        for (let i = 0; i < (operation.many ?? 1); i++) this.event(operation.large === true, operation.picture);
        break;
      case 'withdraw':
        this.pictures.withdrawn = this.serial;
        box.withdrawPictures(() => false);
        break;
      case 'respond':
        this.respond(operation.optional === true, operation.large === true);
        break;
      case 'transient':
        this.given.transients++;
        if (wire !== undefined) wire.backlogBytes = operation.backlog === true ? 2_000_001 : 0;
        must(
          'A transient message is sent or refused at once.',
          box.transient('log', Buffer.from('x')) === (wire !== undefined && !operation.backlog),
        );
        break;
      case 'arrive':
        for (let i = 0; i < operation.count; i++) this.arrive(operation.refuse === true && this.setting.protocol === '5');
        break;
      case 'answer':
        this.answer(operation.which);
        break;
      case 'ghost': {
        const [ghost] = this.ghosts.splice(operation.which % Math.max(1, this.ghosts.length), 1);
        ghost?.done(null);
        break;
      }
      case 'break':
        this.breakDown(operation.arrive);
        break;
      case 'connect':
        this.connect(operation.receiveMaximum, operation.maxBytes, operation.eager);
        break;
      case 'restore':
        this.restore();
        break;
      case 'release':
        if (wire?.settled === true && !wire.released) {
          wire.released = true;
          box.release();
        }
        break;
      case 'wait':
        this.clock += operation.ms;
        break;
    }
  }

  /** A broker that takes everything, until nothing is left to be done; then what ought to be the case in the end. */
  async end(): Promise<void> {
    // The first of these connections may break on what is suspected, none of the others does; barred topics have another chance after ten minutes.
    for (let i = 0; i < 3; i++) {
      if (this.setting.hasty) this.clock += 600_001;
      this.breakDown(0);
      this.connect(65_535, 100_000, i === 0);
      this.restore();
      this.settle();
      must('States are settled when all were answered.', this.wire?.settled === true);
      this.perform({ do: 'release' });
      this.settle();
    }
    let drained = false;
    void this.box.drained().then(() => {
      drained = true;
    });
    for (let i = 0; i < 5 && !drained; i++) await null;
    must('Whoever waits for the last message hears of it.', drained);
    must('Nothing waits when all is done.', this.box.stats().queued === 0, this.box.stats());
    for (const [topic, { text, expiresAt }] of this.said) {
      const ought = expiresAt !== null && expiresAt <= this.clock ? '' : text;
      const kept = this.retained.get(topic);
      const is = kept === undefined || kept.until <= this.clock ? '' : kept.text;
      must('In the end the broker holds the newest state of a topic, and of a forgotten or expired one nothing.', is === ought, { topic, is, ought });
    }
    this.checkCounts();
    this.checkPictures();
  }

  private settle(): void {
    for (let i = 0; i < 2000 && (this.wire as FakeWire).unacknowledged.length > 0; i++) {
      this.arrive(false);
      this.answer(0);
      this.checkNothingIsStuck();
    }
  }

  private checkCounts(): void {
    const { published, dropped } = this.box.stats();
    const { states, statesRefused, others, othersRefused } = this.answers;
    must('What the broker acknowledged counts as published, once.', published.qos1 === states + others + this.pictures.answered, published);
    const lost = this.given.events + this.given.responses + this.given.transients - others - published.qos0;
    const total = Object.values(dropped).reduce((sum, count) => sum + count, 0);
    must('Whatever was not delivered was counted as dropped.', lost <= total, { lost, dropped });
    if (this.setting.mortal || this.setting.hasty) return; // states then are among the expired and the barred
    must('What was counted as dropped was not delivered.', lost === total - statesRefused - this.statesTooLarge, { lost, dropped });
    must('Refusals are those of the broker.', dropped.refused === statesRefused + othersRefused, dropped);
  }

  private checkPictures(): void {
    const { published, waiting, bytes, dropped } = this.box.stats().pictures;
    const { given, answered, without, taken } = this.pictures;
    const total = Object.values(dropped).reduce((sum, count) => sum + count, 0);
    must('No picture is kept when its event is over.', waiting === 0 && bytes === 0, { waiting, bytes });
    must('A picture counts as published whenever the broker took it.', published === answered, { published, answered });
    must('A picture that never went out was counted.', given - taken.size <= total && total <= given, { given, taken: taken.size, dropped });
    must('An event that lost its picture was counted.', [...without].filter((id) => !taken.has(id)).length <= total);
  }

  private checkNothingIsStuck(): void {
    const { wire } = this;
    if (wire === undefined || wire.unacknowledged.length > 0 || !wire.released) return;
    must('What may go out is on its way.', this.box.stats().queued === 0, this.box.stats());
  }

  private state(topic: string, lifeS: number | undefined, large = false): void {
    const life = this.setting.mortal ? lifeS : undefined;
    const text = String(++this.serial).padEnd(large ? LARGE : 0, '.');
    this.said.set(topic, { text, expiresAt: life === undefined ? null : this.clock + life * 1000 });
    if (life !== undefined) this.wire?.excused.add(topic);
    this.box.state(topic, Buffer.from(text), life);
  }

  private event(large: boolean, picture?: 'small' | 'large'): void {
    const id = ++this.serial;
    this.given.events++;
    this.events.set(id, { at: this.clock, connection: this.connections, sent: false, over: false, picture: picture !== undefined });
    const body = { id: String(id), replayed: false, picture: picture === undefined ? null : id, ...(large ? { text: 'x'.repeat(LARGE) } : {}) };
    if (picture === undefined) {
      this.box.event('event', body);
      return;
    }
    this.pictures.given++;
    const payload = Buffer.from(String(id).padEnd(picture === 'large' ? LARGE : 0, '.'));
    this.box.event('event', body, { topic: 'picture', payload, contentType: 'image/jpeg', user: { id: String(id) } });
    must('So many pictures wait, and no more.', this.box.stats().pictures.waiting <= 64);
  }

  private respond(optional: boolean, large: boolean): void {
    const { wire } = this;
    const text = String(++this.serial).padEnd(large ? LARGE : 0, '.');
    this.given.responses++;
    if (wire !== undefined) this.responses.set(text, { wire, sent: false });
    const result = this.box.respond('response', Buffer.from(text), { optional });
    const ought = wire === undefined ? 'offline' : large && wire.maxPacketBytes < LARGE ? 'too_large' : 'sent';
    must('A response is taken where there is a connection and it fits.', result === ought, { result, ought });
  }

  private refused(topic: string, reason: string): void {
    if (reason.includes('bytes, at most') && !['event', 'response', 'picture'].includes(topic)) this.statesTooLarge++;
    this.wire?.excused.add(topic);
    const alert = `${topic} ${reason}`;
    if (alert === this.lastAlert) return; // as the link does
    this.lastAlert = alert;
    this.state('alert', undefined);
  }

  private connect(receiveMaximum: number, maxBytes: number, eager: boolean): void {
    if (this.wire !== undefined) return;
    const wire: FakeWire = new FakeWire(this.setting.protocol, receiveMaximum, maxBytes, eager, (publish) => this.published(wire, publish));
    this.connections++;
    this.wire = wire;
    this.box.attach(wire);
  }

  private restore(): void {
    const { wire } = this;
    if (wire === undefined || wire.restored) return;
    wire.restored = true;
    const known = [...this.said].filter(([, { text, expiresAt }]) => text !== '' && expiresAt === null).map(([topic]) => topic);
    this.box.restore(() => {
      must('States are settled once, on the connection they were restored on.', this.wire === wire && !wire.settled);
      wire.settled = true;
      for (const topic of known) this.checkAnswered(wire, topic);
      if (!wire.eager) return;
      wire.released = true;
      this.box.release();
    });
  }

  private checkAnswered(wire: FakeWire, topic: string): void {
    const said = this.said.get(topic);
    if (said === undefined || said.text === '' || wire.answered.has(topic) || wire.excused.has(topic)) return;
    if (said.expiresAt !== null && said.expiresAt <= this.clock) return;
    must('States are not settled before the broker has answered to each.', false, topic);
  }

  private breakDown(arriving: number): void {
    const { wire } = this;
    if (wire === undefined) return;
    if (!this.setting.hasty) this.clock += 2001;
    for (let i = 0; i < arriving; i++) this.arrive(false);
    this.ghosts.push(...wire.unacknowledged);
    this.wire = undefined;
    this.box.detach();
  }

  private arrive(refuse: boolean): void {
    const { wire } = this;
    const message = wire?.underWay.shift();
    if (wire === undefined || message === undefined) return;
    wire.arrived.push(message);
    message.refused = refuse;
    if (refuse) return;
    const { topic, payload, retain, expiryS } = message.publish;
    if (topic === 'event') this.hear(JSON.parse(payload.toString()));
    if (!retain) return;
    const life = expiryS === undefined || wire.protocol === '3.1.1' ? Number.POSITIVE_INFINITY : Math.ceil(expiryS) * 1000;
    const before = this.retained.get(topic);
    const text = payload.toString();
    if (text === '') this.retained.delete(topic);
    else {
      must('A topic never goes back to an older state.', Number.parseInt(before?.text ?? '0', 10) <= Number.parseInt(text, 10), {
        topic,
        text,
        before,
      });
      this.retained.set(topic, { text, until: this.clock + life });
    }
  }

  private hear({ id, replayed }: { id: string; replayed: boolean }): void {
    const event = Number(id);
    if (!replayed) {
      must('An event is delivered as new at most once, and never after it was delivered otherwise.', !this.seen.has(event), id);
      this.fresh.add(event);
    }
    this.seen.add(event);
  }

  private answer(which: number): void {
    const { wire } = this;
    if (wire === undefined || wire.arrived.length === 0) return;
    const [message] = wire.arrived.splice(which % wire.arrived.length, 1) as [Message];
    const { retain, topic, payload } = message.publish;
    if (retain) {
      wire.answered.set(topic, message.refused ? '' : payload.toString());
      this.answers[message.refused ? 'statesRefused' : 'states']++;
    } else if (topic === 'picture') this.pictureAnswered(wire, Number.parseInt(payload.toString(), 10), message.refused);
    else this.answers[message.refused ? 'othersRefused' : 'others']++;
    message.done(message.refused ? new Error('not authorized') : null);
  }

  private pictureAnswered(wire: FakeWire, id: number, refused: boolean): void {
    if (refused) return;
    this.pictures.answered++;
    this.pictures.taken.add(id);
    if (wire.picture?.id === id) wire.picture.taken = true;
  }

  /** Everything that the outbox hands over is looked at. */
  private published(wire: FakeWire, publish: Publish): void {
    const { topic, payload, qos, retain, expiryS } = publish;
    must('Nothing is sent on a connection that is gone.', this.wire === wire);
    if (qos === 0) return;
    const open = wire.unacknowledged;
    must('No more is unacknowledged than the broker takes, and than sixteen.', open.length < Math.min(16, wire.receiveMaximum));
    const text = payload.toString();
    if (retain) {
      this.checkState(wire, topic, text, expiryS);
      must('At most one state of a topic is unacknowledged.', !open.some((one) => one.publish.topic === topic), topic);
    } else if (topic === 'event') this.checkEvent(wire, JSON.parse(text), expiryS);
    else if (topic === 'picture') this.checkPicture(wire, Number.parseInt(text, 10), expiryS);
    else {
      const response = this.responses.get(text);
      must('A response goes out on the connection that asked for it.', response?.wire === wire);
      must('A response goes out once.', response?.sent === false);
      if (response !== undefined) response.sent = true;
    }
  }

  private checkState(wire: FakeWire, topic: string, text: string, expiryS: number | undefined): void {
    must('No state goes out before all of them may.', wire.restored);
    const said = this.said.get(topic);
    must('Only topics that were spoken of go out.', said !== undefined, topic);
    const { expiresAt, text: newest } = said as Said;
    const left = expiresAt === null ? Number.POSITIVE_INFINITY : expiresAt - this.clock;
    must('What goes out is the newest state of its topic, or nothing in place of one whose life is over.', text === (left > 0 ? newest : ''), {
      topic,
      text,
      newest,
    });
    if (text === '') return;
    must('A state goes out with the life it has left.', expiryS === undefined ? expiresAt === null : Math.abs(expiryS * 1000 - left) < 1e-3);
    const again = expiresAt === null && wire.answered.get(topic) === text && !wire.asked.has(topic);
    must('What the broker has acknowledged is not sent again unless somebody asks.', !again, topic);
    wire.asked.delete(topic);
  }

  private checkPicture(wire: FakeWire, id: number, expiryS: number | undefined): void {
    const event = this.events.get(id);
    if (event === undefined || !event.picture) throw new Error('Only pictures of events are sent.');
    must('No picture goes out before events may.', wire.released);
    must('What is not to be shown any more is not sent.', id > this.pictures.withdrawn, id);
    must('A picture goes out with the life its event has left.', Math.abs((expiryS ?? 0) * 1000 - (event.at + 60_000 - this.clock)) < 1e-3);
    wire.picture = { id, taken: false };
  }

  private checkEvent(
    wire: FakeWire,
    { id, replayed, picture }: { id: string; replayed: boolean; picture: number | null },
    expiryS: number | undefined,
  ): void {
    const event = this.events.get(Number(id));
    if (event === undefined) throw new Error('Only events that happened are sent.');
    must('No event goes out before they may.', wire.released);
    must('An event older than a minute is no news.', this.clock - event.at < 60_000);
    must('An event goes out with the life it has left.', Math.abs((expiryS ?? 0) * 1000 - (event.at + 60_000 - this.clock)) < 1e-3);
    must(
      'An event is new in its first connection, and replayed in every other.',
      replayed === (event.connection !== this.connections || event.sent),
      id,
    );
    if (!event.sent) {
      must('Events go out in the order in which they happened.', Number(id) > this.lastFirst, id);
      this.lastFirst = Number(id);
    }
    event.sent = true;
    must('An event names its own picture or none.', picture === null || (event.picture && picture === Number(id)), { id, picture });
    const named = picture === null || (wire.picture?.id === picture && wire.picture.taken);
    must('The picture that an event names is the last one before it, and the broker has it.', named, { id, last: wire.picture });
    if (event.picture && picture === null) this.pictures.without.add(Number(id));
  }
}
