import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseAddress } from '../mqtt/address.js';
import { type Broker, startBroker } from '../mqtt/broker.js';
import { type Follower, follow } from '../mqtt/follow.js';
import { resultSchema } from '../mqtt/messages.js';
import { type Topics, topicsOf } from '../mqtt/topics.js';
import type { LoadedConfig } from '../service/config/config.js';
import { Log } from '../service/log/log.js';
import { modelLoader } from '../service/model/model.js';
import { Service } from '../service/service.js';
import { CAMERA, demoConfig, NODE } from './demo-config.js';
import { DemoLedger } from './demo-ledger.js';
import { DemoScreen, type Terminal } from './demo-screen.js';
import { WATCHES } from './demo-watches.js';
import { countLine, followLines, frameLines, summaryLines } from './demo-words.js';
import { endOnEscape } from './escaped.js';
import { EXIT_FAILURE, interruption } from './failure.js';
import { assignment, SHIPPED_MODEL, version, wholeNumber } from './options.js';
import { notes } from './output.js';
import { pageSetup } from './page-setup.js';

const ENOUGH = 0.97; // share of right answers below which a counted demo fails

const MOST_UNREAD_BYTES = 1 << 20;

interface DemoCommand {
  frames?: number;
  seed: number;
  broker?: string;
  protocol?: '5' | '3.1.1';
  record?: string;
  set: [path: string, value: string][];
}

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('A synthetic kitchen camera, six watches, the answers over MQTT: the whole product, right after installation.')
    .option('--frames <n>', 'stop after answers about so many frames', wholeNumber(1, 1_000_000))
    .option('--seed <n>', 'the first scene', wholeNumber(1, 999_999), 1)
    .addOption(
      new Option('--broker <url>', 'publish to this broker, mqtt://host:port (default: one inside this process, on loopback)').argParser(brokerUrl),
    )
    .addOption(new Option('--protocol <version>', 'of MQTT (default: 5 with --broker; the one inside speaks 3.1.1)').choices(['5', '3.1.1']))
    .option('--record <folder>', 'record what the watches see and answer, for mipha replay')
    .option('--set <path=value>', 'a setting of the configuration, as often as needed, e.g. mqtt.username=me', assignment, [])
    .addHelpText(
      'after',
      notes(`
Without --frames something changes every four seconds until Ctrl-C. With --frames it changes two or three times a second, and the demo ends with a
summary and exit code 1 when fewer than ${ENOUGH * 100} % of the answers were right. Scenes below seed 1000000 were never used in training.`),
    )
    .action(demo);
}

function brokerUrl(url: string): string {
  try {
    parseAddress(url);
    return url;
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

async function demo(options: DemoCommand): Promise<void> {
  const { signal, release } = interruption();
  try {
    await using broker = options.broker === undefined ? await startBroker() : null;
    const loaded = demoConfig({
      url: options.broker ?? (broker as Broker).url,
      protocol: options.protocol ?? (options.broker === undefined ? '3.1.1' : '5'),
      seed: options.seed,
      counted: options.frames !== undefined,
      record: options.record,
      assignments: options.set,
    });
    await show(loaded, options, signal);
  } finally {
    release();
  }
}

async function show(loaded: LoadedConfig, { frames }: DemoCommand, signal: AbortSignal): Promise<void> {
  const { base, mqtt } = loaded.config;
  const topics = topicsOf(base, NODE);
  const ledger = new DemoLedger(WATCHES);
  const service = new Service({
    loaded,
    load: async () => loaded,
    loadModel: modelLoader(SHIPPED_MODEL),
    log: new Log(loaded.config.log),
    version: version(),
    page: pageSetup([]),
  });
  const screen = new DemoScreen(WATCHES, unlessUnread(process.stdout), () => ({
    head: frameLines(service.health(), CAMERA),
    foot: [countLine(ledger.counts())],
  }));
  await using _follower = await listen(mqtt, topics, ledger, screen, service.session);
  await using _service = { [Symbol.asyncDispose]: () => service.stop() };
  using _escapes = { [Symbol.dispose]: endOnEscape(() => service) };
  using _screen = { [Symbol.dispose]: () => screen.end() };
  const failed = new Promise<never>((_, reject) => service.once('failed', reject));
  failed.catch(() => {});
  const interrupted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  const done = frames === undefined ? interrupted : Promise.race([ledger.reached(frames), interrupted]);
  screen.begin(followLines(topics, mqtt, process.stdout.columns ?? Number.POSITIVE_INFINITY));
  await Promise.race([service.start(), failed]);
  service.cameras.get(CAMERA)?.on('frame', (frame) => ledger.captured(frame));
  await Promise.race([done, failed]);
  if (frames !== undefined) signal.throwIfAborted();
  const summary = summaryLines(ledger, service.health());
  await service.stop();
  screen.end();
  process.stdout.write(`\n${summary.join('\n')}\n`);
  if (frames === undefined || ledger.right >= ENOUGH * ledger.total) return;
  process.stdout.write(`That is below ${ENOUGH * 100} %.\n`);
  process.exitCode = EXIT_FAILURE;
}

/** A reader that stands still makes this process hold so much and no more; what it misses is told when it reads again. */
function unlessUnread(stream: NodeJS.WriteStream): Terminal {
  let missed = 0;
  return {
    isTTY: stream.isTTY,
    get columns() {
      return stream.columns;
    },
    write(text) {
      if (stream.writableLength > MOST_UNREAD_BYTES) {
        missed++;
        return;
      }
      stream.write(missed === 0 ? text : `${missed} lines were dropped while nobody read\n${text}`);
      missed = 0;
    },
  };
}

/** Shows and counts what comes back from the broker: retained messages are from before, and other sessions may talk on the same topics. */
async function listen(
  mqtt: LoadedConfig['config']['mqtt'],
  topics: Topics,
  ledger: DemoLedger,
  screen: DemoScreen,
  session: string,
): Promise<Follower> {
  const byTopic = new Map<string, { watch: string; leaf: 'result' | 'state' }>();
  for (const watch of Object.keys(WATCHES)) for (const leaf of ['result', 'state'] as const) byTopic.set(topics.watch(watch, leaf), { watch, leaf });
  const options = {
    url: mqtt.url,
    protocol: mqtt.protocol,
    maxPacketBytes: mqtt.max_packet_bytes,
    username: mqtt.username,
    passwordFile: mqtt.password_file,
  };
  return await follow(
    { ...options, caFile: mqtt.ca_file, certFile: mqtt.cert_file, keyFile: mqtt.key_file },
    [topics.all],
    (topic, payload, retained) => {
      ledger.received();
      const target = byTopic.get(topic);
      if (target === undefined || retained || payload.length === 0) return;
      if (target.leaf === 'state') {
        ledger.stated(target.watch, payload.toString());
        return;
      }
      const result = resultSchema.parse(JSON.parse(payload.toString()));
      if (result.session === session && result.status === 'ok') screen.received(target.watch, { result, truth: ledger.answered(result) });
    },
  );
}
