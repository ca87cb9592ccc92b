/** `mipha-edge/pool`: several nodes asked as one, from any program on the same broker. Loads no model and no addon. */
export type { NodeState } from './node.js';
export type { BrokerAccess, NodeChoice, PoolAskOptions, PoolOptions, PoolQuestion } from './options.js';
export { openPool, type Pool, type PoolNodeStatus, type PoolStatus } from './pool.js';
