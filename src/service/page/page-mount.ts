/** The page on the port of the node: whoever may see the node sees it, and does what the role permits. */
import type { Access } from '../../http/access.js';
import type { Mount } from '../../http/app.js';
import { Problem } from '../../http/problem.js';
import type { PageNode } from '../../page/node.js';
import { pageOf } from '../../page/page.js';

/** `folder`: where the built page lies. Its files are for everybody: they are the form to log in. */
export function pageMount(node: PageNode, folder: string): Mount {
  return (app, { access }) => {
    app.use('/api/*', access.needs('viewer'));
    const visitorOf = (c: Parameters<Access['check']>[0]) => {
      const address = c.env.incoming.socket.remoteAddress ?? '';
      try {
        access.check(c, 'operator');
        return { role: 'operator' as const, address };
      } catch (error) {
        if (error instanceof Problem && error.status === 403) return { role: 'viewer' as const, address };
        throw error;
      }
    };
    app.route('/', pageOf(node, { visitorOf: visitorOf as never, folder }));
  };
}
