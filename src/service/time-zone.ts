/** The time zone of a node's quiet hours. */
import { processTimeZone } from '../watch/local-time.js';
import type { Config } from './config/config.js';
import { SYSTEM_ZONE } from './config/schema.js';

export function timeZoneOf({ timezone }: Pick<Config, 'timezone'>): string {
  return timezone === SYSTEM_ZONE ? processTimeZone() : timezone;
}
