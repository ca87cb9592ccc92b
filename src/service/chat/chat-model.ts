/** What chat completions need of a Mipha; tests put something else in its place. */
import type { Answer, AnswerOptions, SchemaOptions } from '../../engine/answer.js';
import type { CallOptions } from '../../engine/call.js';
import type { ConverseOptions } from '../../engine/conversation.js';
import type { ImageInput } from '../../engine/image.js';
import type { Sight } from '../../watch/outcome.js';

export interface ChatModel {
  readonly name: string;
  readonly revision: string;
  readonly context: number;
  look(image: ImageInput, options?: CallOptions): Promise<ChatSight>;
  converse(options?: ConverseOptions): Promise<ChatTalk>;
}

export interface ChatSight extends Sight {
  readonly imageTokens: number;
  converse(options?: ConverseOptions): Promise<ChatTalk>;
}

export interface ChatTalk {
  ask(question: string, options: SchemaOptions & CallOptions): Promise<Answer<unknown>>;
  ask(question: string, options?: Omit<AnswerOptions, 'as'> & CallOptions): Promise<Answer>;
  stream(question: string, options?: Omit<AnswerOptions, 'as'> & CallOptions): AsyncIterable<string> & { readonly answer: Promise<Answer> };
  dispose(): Promise<void>;
}
