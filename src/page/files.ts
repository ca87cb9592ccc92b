/** The files of the page, as they were built: read once, sent compressed. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Hono } from 'hono';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};
/** Nothing from elsewhere, nothing inline; pictures that are uploaded are shown before they are sent. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

interface File {
  body: Uint8Array<ArrayBuffer>;
  zipped: Uint8Array<ArrayBuffer>;
  type: string;
  tag: string;
}

const NOT_BUILT = 'The page was not built: npm run setup builds it.\n';

/** `folder`: what the build made. Without it the page says so. */
export function fileRoutes(folder: string): Hono {
  const routes = new Hono();
  let files: Promise<Map<string, File>> | undefined;
  routes.get('*', async (context, next) => {
    files ??= readFiles(folder);
    const path = context.req.path.slice(1) || 'index.html';
    const known = await files;
    const file = known.get(path);
    if (file === undefined && known.size === 0 && path === 'index.html') return context.text(NOT_BUILT, 503);
    if (file === undefined) return await next();
    // names of assets tell their content
    const headers = {
      'Content-Type': file.type,
      'Content-Security-Policy': PAGE_POLICY,
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
      'Cache-Control': path.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
      ETag: file.tag,
      Vary: 'Accept-Encoding',
    };
    if (context.req.header('if-none-match') === file.tag) return context.body(null, 304, headers);
    if (!context.req.header('accept-encoding')?.includes('gzip')) return context.body(file.body, 200, headers);
    return context.body(file.zipped, 200, { ...headers, 'Content-Encoding': 'gzip' });
  });
  return routes;
}

async function readFiles(folder: string): Promise<Map<string, File>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const files = await Promise.all(
    paths.map(async (path): Promise<[string, File]> => {
      const body = new Uint8Array(await readFile(path));
      const zipped = new Uint8Array(await promisify(gzip)(body, { level: 9 }));
      const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 16)}"`;
      return [relative(folder, path), { body, zipped, type: TYPES[extname(path)] ?? 'application/octet-stream', tag }];
    }),
  );
  return new Map(files);
}
