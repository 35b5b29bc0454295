import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyPluginAsync } from 'fastify';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "media-src 'self' blob:",
  "worker-src 'self' blob:",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

/** The web player: `/` and what it loads, all read once at start, so that no request path ever becomes a file path. */
export const pageRoutes: FastifyPluginAsync = async (app) => {
  const assets = await loadAssets();
  const index = assets.get('index.html');
  const serve = (asset: Asset) => ({
    'content-type': asset.type,
    'cache-control': 'no-cache',
    'content-security-policy': CONTENT_SECURITY_POLICY,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  if (index)
    app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.headers(serve(index)).send(index.body));
  for (const [name, asset] of assets) {
    app.get(`/web/${name}`, { schema: { hide: true } }, async (_request, reply) =>
      reply.headers(serve(asset)).send(asset.body),
    );
  }
};

async function loadAssets(): Promise<Map<string, Asset>> {
  const folder = fileURLToPath(new URL('../../web/', import.meta.url));
  const files = (await readdir(folder))
    .filter((name) => extname(name) in TYPES)
    .map((name) => [name, join(folder, name)]);
  const hls = createRequire(import.meta.url).resolve('hls.js/dist/hls.mjs');
  files.push(['vendor/hls.mjs', hls]);
  const loaded = files.map(async ([name, path]): Promise<[string, Asset]> => {
    const body = await readFile(path as string);
    return [name as string, { type: TYPES[extname(path as string)] as string, body }];
  });
  return new Map(await Promise.all(loaded));
}
