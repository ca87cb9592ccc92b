/** How often a test repeats: few times in `npm test`, the full count in `npm run test:thorough`. */
export const THOROUGH = process.env.MIPHA_THOROUGH === '1';
export function counts(quick: number, thorough: number): number {
  return THOROUGH ? thorough : quick;
}
