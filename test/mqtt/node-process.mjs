// A node in a process of its own, to be killed, or stopped with SIGTERM: then it must end by itself, which an open handle would prevent.
// Arguments: url, protocol, keepalive in seconds. Prints `started` and `online`.
import { Link } from '../../dist/mqtt/link.js';
import { topicsOf } from '../../dist/mqtt/topics.js';

const [url, protocol, keepaliveS] = process.argv.slice(2);
const topics = topicsOf('mipha', 'node-1');
const link = new Link({
  url,
  protocol,
  keepaliveS: Number(keepaliveS),
  clientId: 'mipha-node-1-child',
  maxPacketBytes: 1_000_000,
  topics,
  session: 'child',
});
link.on('online', () => console.log('online'));
link.outbox.state(topics.info, 'from the child');
process.once('SIGTERM', () => link.stop(1000));
void link.start();
console.log('started');
