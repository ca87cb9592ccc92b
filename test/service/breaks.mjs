// Loaded before a node: on SIGUSR2 something in it breaks, in the way that MIPHA_TEST_BREAK names.
import { Link } from '../../dist/mqtt/link.js';
import { Requests } from '../../dist/mqtt/requests.js';
import { ResultPublisher } from '../../dist/service/publish/results.js';
import { Motion } from '../../dist/watch/motion.js';

const fail = () => {
  throw new Error('broken on purpose');
};
const later = () => setTimeout(fail);
const ways = {
  timer: later,
  'several at once': () => {
    for (let i = 0; i < 3; i++) setImmediate(fail);
  },
  rejection: () => void Promise.reject(new Error('broken on purpose')),
  'message handler': () => (Requests.prototype.handle = fail),
  'camera listener': () => (Motion.prototype.see = fail),
  publication: () => (ResultPublisher.prototype.watch = fail),
  // What is needed for the farewell is broken too.
  'farewell that throws': () => {
    Link.prototype.lastWords = fail;
    later();
  },
  'farewell that breaks something else': () => {
    Link.prototype.lastWords = () => {
      setTimeout(() => {
        throw new Error('the second');
      });
      return new Promise(() => {});
    };
    later();
  },
  'farewell that never ends': () => {
    Link.prototype.lastWords = () => new Promise(() => {});
    later();
  },
};
process.once('SIGUSR2', ways[process.env.MIPHA_TEST_BREAK]);
