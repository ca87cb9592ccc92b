/** Says, before the tests begin, what is not tested on this machine and what to install for it. */
import { PROGRAMS } from './program-list.js';

export default function announce(): void {
  const missing = Object.entries(PROGRAMS).filter(([, { probe }]) => !probe());
  if (missing.length === 0) return;
  const names = missing.map(([name]) => name).join(', ');
  const packages = missing.map(([, { install }]) => install).join(' ');
  console.warn(`\nNOT TESTED HERE is what needs ${names}. To test it too:\n  sudo apt-get install -y ${packages}\n`);
}
