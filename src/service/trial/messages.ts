/** What a trial and its thread tell each other. */
import type { RawImage } from '../../engine/image.js';
import type { TrialRequest } from '../../page/node.js';
import type { KeptAnswer } from '../../replay/recorded-eyes.js';
import type { ReplayReport } from '../../replay/report.js';
import type { AnswerSpec } from '../../watch/spec.js';

export interface TrialSettings extends TrialRequest {
  /** The recorder's. */
  folder: string;
  /** Of the package that answers. */
  revision: string;
}

export interface TrialQuestion {
  id: number;
  /** Null: the one of the question before. */
  image: RawImage | null;
  question: string;
  answer: AnswerSpec;
}

export type FromTrial =
  | { kind: 'progress'; share: number }
  | ({ kind: 'ask' } & TrialQuestion)
  /** Nothing more is asked about the last picture. */
  | { kind: 'seen' }
  | { kind: 'report'; report: ReplayReport }
  | { kind: 'failed'; message: string };

export type ToTrial = { kind: 'answer'; id: number; answer: KeptAnswer } | { kind: 'end' };
