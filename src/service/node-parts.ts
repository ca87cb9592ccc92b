/** The parts of a node that need no waiting, made and put together. */
import type { MiphaError } from '../errors.js';
import { Board } from './board/board.js';
import { System } from './board/system.js';
import { BrokerSide } from './broker-side.js';
import { type CameraReporter, cameraReporter } from './camera-reporter.js';
import { Changer, type ChangerOptions } from './changer.js';
import { linkOptions } from './link-options.js';
import type { Log } from './log/log.js';
import { Metrics } from './metrics.js';
import type { LoadModel } from './model/model.js';
import { ModelUpdates } from './model/updates.js';
import type { NodeState } from './node-state.js';
import { Notifier } from './notify.js';
import { own } from './own.js';
import { FleetFeed } from './page/fleet-feed.js';
import { SeenFrames } from './page/seen-frames.js';
import { Latency } from './publish/latency.js';
import { LoadReporter } from './publish/load-reporter.js';
import { Status } from './publish/status.js';
import { checksOf } from './readiness.js';
import { RecordKeeper } from './recording/keeper.js';
import { Troubles } from './troubles.js';

export interface NodeParts {
  board: Board;
  changer: Changer;
  side: BrokerSide;
  troubles: Troubles;
  reporter: CameraReporter;
  latency: Latency;
  status: Status;
  load: LoadReporter;
  metrics: Metrics;
  notifier: Notifier;
  record: RecordKeeper;
  frames: SeenFrames;
  fleet: FleetFeed;
  updates: ModelUpdates;
}

export interface PartsOptions {
  state: NodeState;
  log: Log;
  change: ChangerOptions;
  model: { load: LoadModel; onModel: () => void; onFailed: (error: MiphaError) => void };
  /** The state of a camera has changed. */
  onCamera: () => void;
}

export function nodeParts({ state, log, change, model, onCamera }: PartsOptions): NodeParts {
  const changer = new Changer(change);
  const latency = new Latency();
  const side = new BrokerSide({
    changer,
    state,
    clientSuffix: change.stateDir.clientSuffix,
    log,
  });
  const record = new RecordKeeper({
    session: state.session,
    model: () => ({ name: state.model?.name ?? '', hash: state.model?.revision ?? '' }),
    alert: (message) => {
      if (message !== null) log.child('recorder').warn(message);
      side.node.alert('recorder', message, 'WARNING');
    },
  });
  const board: Board = new Board({
    system: new System(),
    answers: () => metrics.answers,
    hasDuty: () => Object.values(changer.config.watches).some(({ duty }) => duty !== undefined),
    onHeat: (celsius) => state.watching?.loop.heat(celsius),
    alert: (message) => side.node.alert('thermal', message, 'WARNING'),
  });
  const status = new Status({ state, changer, side, latency, log, record, board });
  const load = new LoadReporter(() => {
    if (side.link.connected) side.node.load(status.load());
  });
  const metrics = new Metrics({ version: state.version, snapshot: () => status.metrics() });
  const troubles = new Troubles(side.node);
  const reporter = cameraReporter({
    node: side.node,
    troubles,
    log: log.child('camera'),
    isEnabled: (id) => own(changer.config.cameras, id)?.enabled !== false,
    onChange: onCamera,
  });
  const frames = new SeenFrames({
    isShown: (camera) => own(changer.config.cameras, camera)?.images === true,
    isRead: () => side.feed.isRead,
    onFault: (camera, error) => log.child('camera').warn({ err: error, camera }, 'no picture could be made of a frame'),
  });
  const { base, node, mqtt } = changer.config;
  const fleet = new FleetFeed({ ...linkOptions(mqtt), clientId: `${base}-${node}-${change.stateDir.clientSuffix}-fleet` }, base);
  const updates = new ModelUpdates({
    state,
    side,
    metrics,
    log,
    config: () => changer.config,
    loadModel: model.load,
    onModel: model.onModel,
    onFailed: model.onFailed,
  });
  const notifier = new Notifier({ healthy: () => checksOf(state, changer.config, side.link.connected)[0].ok });
  return { board, changer, side, troubles, reporter, latency, status, load, metrics, notifier, record, frames, fleet, updates };
}
