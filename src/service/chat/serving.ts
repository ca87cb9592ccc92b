/** A model behind the port and nothing else: no cameras, no broker. */
import { isLoopback } from '../../address.js';
import { optionError } from '../../errors.js';
import { chatRoutes } from '../../http/chat.js';
import { HttpServer } from '../../http/server.js';
import { MAKES_TOKEN, readTokens } from '../../http/tokens.js';
import { Lane } from '../../watch/lane.js';
import { checkSecretFile } from '../secrets.js';
import { Chat } from './chat.js';
import type { ChatModel } from './chat-model.js';
import { KeptPicture } from './kept-picture.js';

export interface ServingOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** Tokens, one a line; needed where other machines can reach the port. */
  tokenFile?: string | undefined;
  allowedHosts?: readonly string[] | undefined;
  /** Most requests waiting and under way. */
  queue: number;
  /** For requests that name none. */
  deadlineMs: number;
  onWarning: (message: string) => void;
}

export class Serving {
  private model: ChatModel | null = null;
  private stopped = false;
  private server: HttpServer | null = null;
  private readonly kept = new KeptPicture();
  private readonly lane: Lane;

  constructor(private readonly options: ServingOptions) {
    this.lane = new Lane({ limit: options.queue });
  }

  /** Resolves with the port; until there is a model, requests are told so. Throws ERR_OPTION, ERR_CONFIG. */
  async start(): Promise<number> {
    const { host, port, tokenFile, allowedHosts, deadlineMs, onWarning } = this.options;
    if (!isLoopback(host) && tokenFile === undefined) {
      throw optionError('--host', `a loopback address, or --token-file for other machines (${MAKES_TOKEN})`, host);
    }
    const warning = tokenFile === undefined ? null : await checkSecretFile(tokenFile, '--token-file');
    if (warning !== null) onWarning(warning);
    const { lane, kept } = this;
    const chat = new Chat({ sources: () => (this.model === null ? null : { model: this.model, lane, kept }), deadlineMs: () => deadlineMs });
    this.server = new HttpServer({
      host,
      port,
      tokens: tokenFile === undefined ? [] : await readTokens(tokenFile, 'viewer', '--token-file'),
      allowedHosts,
      live: () => [{ name: 'process', ok: true }],
      ready: () => [{ name: 'engine', ok: this.model !== null && !this.stopped, detail: this.model === null ? 'loading' : 'ready' }],
      mounts: [chatRoutes(chat)],
      onFault: (error) => onWarning(`a request failed: ${(error as Error)?.message ?? error}`),
      onWrongToken: (address) => onWarning(`somebody at ${address} came with a token that is not known`),
    });
    return await this.server.start();
  }

  /** From now on requests are answered. */
  serve(model: ChatModel): void {
    this.model = model;
  }

  /** No new requests; the one under way may finish within the budget. The model stays its owner's. */
  async stop(budgetMs: number): Promise<void> {
    this.stopped = true;
    await this.lane.stop(budgetMs);
    await this.kept.forget();
    await this.server?.stop();
  }
}
