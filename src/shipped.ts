/** What comes with the installed package, as paths: for first programs and tests. */
import { join } from 'node:path';
import { packageRoot } from './addon/load.js';

/** The package of mipha-nano, which knows one synthetic kitchen and nothing else. */
export const shippedModel = join(packageRoot(), 'models', 'mipha-nano');

/** A scene of that kitchen which mipha-nano was not trained on; PNG, 320 x 240. */
export const samplePicture = join(packageRoot(), 'examples', 'kitchen.png');
