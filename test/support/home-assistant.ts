/** What entities of Home Assistant's MQTT integration make of a payload, as its sources have it (components/mqtt: sensor, binary_sensor, text, event, entity). */
import type { Component } from '../../src/mqtt/discovery-payload.js';
import { render } from './jinja.js';

/** The state that is shown; `unknown` when the entity has none; null: the message is ignored, and the state before stays. */
export function stateIn(component: Component, payload: string): string | null {
  const { platform, value_template, options, state_class } = component as Component & { options?: string[]; value_template?: string };
  const rendered = value_template === undefined ? payload : render(value_template, payload);
  switch (platform) {
    case 'binary_sensor':
      if (rendered.trim() === '') return null;
      if (rendered === 'None') return 'unknown';
      return rendered === 'ON' ? 'on' : rendered === 'OFF' ? 'off' : null;
    case 'sensor':
      if (rendered === 'None') return 'unknown';
      if (state_class !== undefined) return rendered === '' || Number.isNaN(Number(rendered)) ? null : rendered;
      if (options !== undefined && !options.includes(rendered)) return null;
      return [...rendered].length > 255 ? null : rendered;
    case 'text':
      return [...rendered].length > 255 ? null : rendered;
    default:
      throw new Error(`no entity ${platform}`);
  }
}

/** What a text entity publishes when somebody types `words`. */
export function typedInto({ command_template }: Component, words: string): string {
  return command_template === undefined ? words : render(command_template as string, words);
}

/** Attributes from the attributes topic; null: ignored with a warning in its log. */
export function attributesIn({ json_attributes_template }: Component, payload: string): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(json_attributes_template === undefined ? payload : render(json_attributes_template as string, payload));
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** The event that an event entity fires, or null. */
export function eventIn({ value_template, event_types }: Component, payload: string): Record<string, unknown> | null {
  const rendered = value_template === undefined ? payload : render(value_template as string, payload);
  if (['', 'None', '{}'].includes(rendered)) return null;
  const { event_type, ...attributes } = JSON.parse(rendered) as Record<string, unknown>;
  return (event_types as string[]).includes(event_type as string) ? { event_type, ...attributes } : null;
}

/** Of the fields that the state of an update may have, which are text, and never null, a boolean, or a percentage. */
const UPDATE_FIELDS: Record<string, (value: unknown) => boolean> = {
  ...Object.fromEntries(
    ['installed_version', 'latest_version', 'title', 'release_summary', 'release_url', 'entity_picture'].map((name) => [
      name,
      (value) => typeof value === 'string',
    ]),
  ),
  in_progress: (value) => typeof value === 'boolean',
  update_percentage: (value) => value === null || (typeof value === 'number' && value >= 0 && value <= 100),
};

/** What an update entity takes from a payload; null: all of it is ignored, as it is for one field that is unknown or wrong. */
export function updateIn({ value_template }: Component, payload: string): Record<string, unknown> | null {
  const rendered = render(value_template as string, payload);
  if (rendered === '') return null;
  const fields = JSON.parse(rendered) as Record<string, unknown>;
  return Object.entries(fields).every(([name, value]) => UPDATE_FIELDS[name]?.(value) === true) ? fields : null;
}
