import type { Command } from 'commander';
import { type FleetCamera, type FleetNode, readFleet } from '../pool/fleet.js';
import { accessOf, addBrokerOptions, type BrokerFlags, choiceOf } from './broker-options.js';
import { duration, milliseconds, print, printJson } from './output.js';
import { columnsOf, wordsOf } from './pool.js';

export function addFleet(program: Command): void {
  addBrokerOptions(
    program
      .command('fleet')
      .description('All nodes of a broker: what they run, their cameras and how fresh these are, their queues and standing alerts.'),
  )
    .option('--json', 'print it as JSON')
    .action(fleet);
}

async function fleet(options: BrokerFlags & { json?: boolean }): Promise<void> {
  const nodes = await readFleet(accessOf(options), choiceOf(options));
  if (options.json) printJson(nodes);
  else if (nodes.length === 0) print('no node is known on this broker\n');
  else print(linesOf(nodes));
}

function linesOf(nodes: readonly FleetNode[]): string {
  const heads = columnsOf(nodes.map(headOf));
  const blocks = nodes.map(({ cameras, alerts }, i) => [
    heads[i],
    ...columnsOf(cameras.map(cameraOf)).map((line) => `  ${line}`),
    ...alerts.map(({ id, level, message }) => `  ! ${level} ${id}: ${message}`),
  ]);
  const online = nodes.filter((node) => node.online).length;
  const alerts = nodes.reduce((sum, node) => sum + node.alerts.length, 0);
  return `${blocks.flat().join('\n')}\n${online} of ${nodes.length} online, ${alerts} ${alerts === 1 ? 'alert' : 'alerts'}\n`;
}

function headOf(node: FleetNode): string[] {
  const { online, lifecycle, draining, version, model, queue, watches, uptimeS, healthAgeMs, labels } = node;
  const state = !online ? 'offline' : draining ? 'draining' : (lifecycle ?? 'online');
  return [
    node.node,
    state,
    version ?? '-',
    model === null || model.id === '' ? '-' : `${model.id}@${model.rev}`,
    `${watches} ${watches === 1 ? 'watch' : 'watches'}`,
    online && queue !== null ? `queue ${queue.waiting} of ${queue.limit}` : '',
    online && uptimeS !== null ? `up ${duration(uptimeS * 1000)}` : healthAgeMs === null ? '' : `${duration(healthAgeMs)} ago`,
    wordsOf(labels),
  ];
}

function cameraOf({ id, state, frameAgeMs, fps }: FleetCamera): string[] {
  return [
    id,
    state,
    frameAgeMs === null ? 'no frame' : `frame ${milliseconds(frameAgeMs)} old`,
    state === 'online' ? `${fps.toFixed(1)} a second` : '',
  ];
}
