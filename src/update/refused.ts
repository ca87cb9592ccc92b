/** Why a release does not come to serve. */
import { MiphaError } from '../errors.js';

/**
 * source: it may not come from there. signature: of none of the keys. checksum: its bytes are others than those that were signed. space: the disk is too
 * full. unreachable: the source is not there, or stopped sending. worse: it answers worse than the present one. nothing: there is none.
 */
export type Reason = 'source' | 'signature' | 'checksum' | 'space' | 'unreachable' | 'worse' | 'nothing';

export function refused(reason: Reason, message: string, more: { expected?: unknown; received?: unknown; cause?: unknown } = {}): MiphaError {
  const { cause, ...details } = more;
  return new MiphaError('ERR_UPDATE', message, {
    details: { reason, ...details },
    retryable: reason === 'unreachable',
    ...(cause === undefined ? {} : { cause }),
  });
}
