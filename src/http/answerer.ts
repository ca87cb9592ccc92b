/** What the endpoint for chat completions needs of whoever answers; it is handed in. */
export type Picture = ({ kind: 'bytes'; bytes: Buffer } | { kind: 'camera'; camera: string }) & {
  /** Where it stood in the request. */
  param: string;
};

export interface ChatJob {
  /** Null: words alone. */
  picture: Picture | null;
  /** Turns before the question, oldest first. */
  history: readonly { question: string; answer: string }[];
  question: string;
  /** The answer is JSON that this JSON Schema allows; null: free text. */
  schema: Record<string, unknown> | null;
  /** Free text ends before the first of these. */
  stops: readonly string[];
  /** Of free text. */
  maxTokens: number;
  /** Without: 0, the likeliest token each time. */
  temperature?: number;
  topP?: number;
  seed?: number;
  /** 0 to 9, higher first. */
  priority: number;
  deadlineMs?: number;
  /** Of a camera's frame. */
  maxAgeMs?: number;
}

export interface ChatAnswer {
  /** With a schema: JSON. */
  text: string;
  /** 0 to 1; null for free text. */
  confidence: number | null;
  /** `length`: it ended at a limit, not where the model ended it. */
  finish: 'stop' | 'length';
  /** `prompt`: all before the answer, picture included; `cached`: of these, what was in the cache from another request. */
  tokens: { prompt: number; cached: number; image: number; answer: number };
  /** Of a camera. */
  frame: { camera: string; id: string; ts: string } | null;
  timings: Record<'queue_ms' | 'prep_ms' | 'vision_ms' | 'prefill_ms' | 'decode_ms' | 'total_ms', number>;
}

export interface Model {
  name: string;
  revision: string;
  /** Positions: picture, words and answer together. */
  context: number;
}

export interface Answerer {
  /** Throws a Problem while there is none. */
  model(): Model;
  /** Throws why nothing would be taken now, before a request is read. */
  checkRoom(): void;
  /** `onText` gets free text in pieces. Throws a Problem or a MiphaError. */
  answer(job: ChatJob, call: { signal: AbortSignal; onText?: (piece: string) => void }): Promise<ChatAnswer>;
}
