#!/usr/bin/env node
/** Where `mipha` begins. A service must not die of a signal that comes while everything else is being loaded. */
import { holdSignals } from './early-signals.js';

if (process.argv.slice(2).find((argument) => !argument.startsWith('-')) === 'run') holdSignals();
await import('./commands.js');
