/**
 * Who may stay when it is crowded. Only those are safe that have sent a whole request and wait for its answer; of the others, slow ones among them,
 * the one that has been there longest goes, of the address that has most. So a newcomer is heard, however many hold the line.
 */
import type { Socket } from 'node:net';
import { networkOf } from './tries.js';

interface Held {
  network: string;
  /** A whole request has come, and is not answered yet. */
  answering: boolean;
}

export class Connections {
  private readonly held = new Map<Socket, Held>(); // the one that has been idle longest first
  private ending = false;

  constructor(private readonly most: number) {}

  get size(): number {
    return this.held.size;
  }

  accept(socket: Socket): void {
    this.held.set(socket, { network: networkOf(socket.remoteAddress ?? ''), answering: false });
    socket.once('close', () => this.held.delete(socket));
    if (this.held.size > this.most) (this.victim() ?? socket).destroy();
  }

  /** Its request is there as a whole. */
  complete(socket: Socket): void {
    const held = this.held.get(socket);
    if (held !== undefined) held.answering = true;
  }

  /** Its request is answered. */
  answered(socket: Socket): void {
    const held = this.held.get(socket);
    if (held === undefined) return;
    this.held.delete(socket);
    this.held.set(socket, { ...held, answering: false });
    if (this.ending) socket.destroySoon();
  }

  /** Nobody stays longer than until his answer is there; resolves when all have theirs, or after `withinMs`. */
  async end(withinMs: number): Promise<void> {
    this.ending = true;
    for (const [socket, { answering }] of [...this.held]) if (!answering) socket.destroy();
    const until = performance.now() + withinMs;
    while (this.held.size > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  private victim(): Socket | undefined {
    const waiting = [...this.held].filter(([, { answering }]) => !answering);
    const counts = new Map<string, number>();
    for (const [, { network }] of waiting) counts.set(network, (counts.get(network) ?? 0) + 1);
    const most = Math.max(...counts.values());
    return waiting.find(([, { network }]) => counts.get(network) === most)?.[0];
  }
}
