/** Whether a value could have been an answer of some type. */
import type { AnswerSpec } from './spec.js';

/** Null: it could. Otherwise what could, in words. */
export function misfit(answer: AnswerSpec, value: unknown): string | null {
  switch (answer.type) {
    case 'boolean':
      return typeof value === 'boolean' ? null : 'true or false';
    case 'choice':
      return answer.choices.includes(value as string) ? null : `one of ${answer.choices.join(', ')}`;
    case 'number': {
      const { min, max, decimals } = answer;
      const fits = typeof value === 'number' && value >= min && value <= max && Number(value.toFixed(decimals)) === value;
      return fits
        ? null
        : `a ${decimals === 0 ? 'whole number' : 'number'} from ${min} to ${max}${decimals === 0 ? '' : ` with ${decimals} decimals at most`}`;
    }
    case 'text':
      return typeof value === 'string' && value !== '' ? null : 'text';
  }
}
