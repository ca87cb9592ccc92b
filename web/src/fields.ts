/** Every setting of a watch that is a number, a word or a yes: what it is called, in which group, and when it makes sense. */
import type { Info } from '../../src/mqtt/messages.js';
import type { Spec } from './spec.js';

interface Common {
  path: string;
  label: string;
  hint?: string;
  /** Unset it has this meaning, and may be left empty. */
  unset?: string;
  /** Default: always. */
  when?: (spec: Spec) => boolean;
}
export interface NumberField extends Common {
  kind: 'number';
  min: number;
  max: number;
  step: number;
  /** Of what is written to what is set. */
  factor?: number;
}
export interface SelectField extends Common {
  kind: 'select';
  options: (info: Info | null) => readonly (readonly [value: string, words: string])[];
}
export interface CheckField extends Common {
  kind: 'check';
}
export type Field = NumberField | SelectField | CheckField;

const SHARE = { kind: 'number', min: 0, max: 1, step: 0.01 } as const;
const SECONDS = { kind: 'number', min: 0, max: 86_400, step: 0.1, factor: 1000 } as const;
const COUNT = { kind: 'number', min: 1, max: 32, step: 1 } as const;

export const GENERAL: Field[] = [
  { kind: 'select', path: 'camera', label: 'Camera', options: (info) => (info?.cameras ?? []).map(({ id }) => [id, id]) },
  { kind: 'check', path: 'enabled', label: 'Enabled', hint: 'asked at all' },
  { kind: 'check', path: 'record', label: 'Recorded', hint: 'needs pictures of its camera' },
];

export const WHEN: Field[] = [
  { path: 'interval_ms', label: 'Ask at most every (s)', ...SECONDS },
  { path: 'reask_ms', label: 'and at least every (s)', ...SECONDS },
  { path: 'change_percent', label: 'Ask when so much changed (%)', kind: 'number', min: 0, max: 100, step: 0.1 },
  { path: 'max_age_ms', label: 'Only about frames younger than (s)', ...SECONDS },
  { path: 'cooldown_ms', label: 'After a change rest for (s)', ...SECONDS },
  { path: 'ttl_ms', label: 'An answer holds for (s)', ...SECONDS, max: 604_800 },
  { path: 'priority', label: 'Priority', hint: '0 to 9, higher goes first', kind: 'number', min: 0, max: 9, step: 1 },
];

export const DUTY: Field[] = [
  { path: 'duty.above_c', label: 'While the board is above (°C)', kind: 'number', min: 0, max: 150, step: 0.5 },
  { path: 'duty.interval_ms', label: 'ask at most every (s)', ...SECONDS },
];

export const BELIEVED: Field[] = [
  { path: 'min_confidence', label: 'Least confidence', hint: '0 to 1: a new value counts only above it', ...SHARE },
  { path: 'keep_confidence', label: 'to keep the present value', unset: 'the same', ...SHARE },
  { path: 'agreement.n', label: 'Answers that must agree', ...COUNT },
  { path: 'agreement.of', label: 'of the last', ...COUNT },
];

export const OFF: Field[] = [
  { path: 'off.min_confidence', label: 'For No: least confidence', unset: 'as for Yes', ...SHARE },
  { path: 'off.keep_confidence', label: 'For No: to keep it', unset: 'as for Yes', ...SHARE },
  { path: 'off.agreement.n', label: 'For No: answers that must agree', unset: 'as for Yes', ...COUNT },
  { path: 'off.agreement.of', label: 'For No: of the last', unset: 'as for Yes', ...COUNT },
];

export const TOLD: Field[] = [
  { path: 'events.for_ms', label: 'Tell when it has stood for (s)', ...SECONDS },
  { path: 'events.gap_ms', label: 'Pause between events (s)', ...SECONDS },
  { path: 'events.remind_ms', label: 'Remind once after (s)', unset: 'never', ...SECONDS, max: 604_800 },
];

const YES_OR_NO = [
  ['true', 'Yes'],
  ['false', 'No'],
] as const;
export const CONFIRM: Field[] = [
  { kind: 'select', path: 'events.confirm.expect', label: 'Answer that agrees', options: () => YES_OR_NO },
  { path: 'events.confirm.min_confidence', label: 'with at least this confidence', ...SHARE },
  { path: 'events.confirm.after_ms', label: 'Asked so much later (s)', hint: '0: about the same picture', ...SECONDS, max: 600 },
];

export const CROP: Field[] = (['x', 'y', 'width', 'height'] as const).map((side) => ({
  path: `crop.${side}`,
  label: { x: 'Crop from the left', y: 'from the top', width: 'its width', height: 'its height' }[side],
  ...(side === 'x' ? { hint: 'shares of the picture, 0 to 1' } : {}),
  ...SHARE,
}));

export const PICTURE: Field[] = [
  {
    ...{ kind: 'select', path: 'picture.part', label: 'Picture of an event' },
    options: () => [
      ['crop', 'what the watch looks at'],
      ['whole', 'all that the camera sees'],
    ],
  },
  { path: 'picture.max_side_px', label: 'Longest side (pixels)', kind: 'number', min: 16, max: 4096, step: 1 },
  { path: 'picture.quality', label: 'Quality of the JPEG', kind: 'number', min: 1, max: 100, step: 1 },
  { path: 'picture.max_bytes', label: 'Largest file (bytes)', kind: 'number', min: 2000, max: 1_000_000, step: 1 },
];
