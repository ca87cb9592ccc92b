/** Values, ages and sizes in words. */
import type { Value } from '../../src/watch/spec.js';

export function valueWords(value: Value | null | undefined): string {
  if (value === null || value === undefined) return 'not known';
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  return String(value);
}

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return '–';
  const whole = Math.floor(share * 100);
  return share > 0 && share < 0.01 ? '<1 %' : `${whole} %`;
}

export function ageWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 2) return 'just now';
  if (seconds < 90) return `${seconds} s ago`;
  return `${durationWords(ms)} ago`;
}

export function durationWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

export function bytesWords(bytes: number): string {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** Of today without the day. */
export function timeWords(ts: string, nowMs = Date.now()): string {
  const at = new Date(ts);
  return at.toDateString() === new Date(nowMs).toDateString() ? TIME.format(at) : DATE.format(at);
}

/** What an event says. */
export function changeWords(type: string, previous: Value | null, value: Value | null): string {
  if (type === 'error') return 'cannot be asked';
  if (type === 'reminder') return `still ${valueWords(value)}`;
  return previous === null ? valueWords(value) : `${valueWords(previous)} → ${valueWords(value)}`;
}
