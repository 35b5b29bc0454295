import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyPluginAsync } from 'fastify';
import { Type } from 'typebox';
import { embedded } from '../lib/embedded.ts';
import { problems } from './problem.ts';
import { Binary } from './schemas.ts';

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
  "media-src 'self' blob: data:",
  "worker-src 'self' blob:",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

interface Asset {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** The web player: `/` and what it loads, all read once at start, so that no request path ever becomes a file path. */
export const pageRoutes: FastifyPluginAsync = async (app) => {
  const page = {
    summary: 'The web player',
    response: {
      200: { description: 'A page.', content: { 'text/html': { schema: Binary } } },
      304: Type.Null({ description: 'Not modified.' }),
      default: problems(),
    },
  };
  const serve = (url: string, { body, headers }: Asset): void => {
    app.get(
      url,
      { config: { tier: 'control' }, schema: url === '/' ? page : { hide: true } },
      async (request, reply) => {
        reply.headers(headers);
        return request.headers['if-none-match'] === headers.etag ? reply.code(304).send() : reply.send(body);
      },
    );
  };
  for (const [name, asset] of await loadAssets()) serve(name === 'index.html' ? '/' : `/web/${name}`, asset);
};

function asset(body: Buffer, extension: string): Asset {
  const headers = {
    'content-type': TYPES[extension] as string,
    'cache-control': 'no-cache',
    etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`,
    'content-security-policy': CONTENT_SECURITY_POLICY,
    'referrer-policy': 'no-referrer',
  };
  return { body, headers };
}

async function loadAssets(): Promise<Map<string, Asset>> {
  const list = embedded('page.json');
  const files = list ? embeddedFiles(JSON.parse(list.toString())) : await filesBesideTheSources();
  return new Map(files.map(([name, body]) => [name, asset(body, extname(name))]));
}

/** @param names of the page's files */
function embeddedFiles(names: readonly string[]): [name: string, body: Buffer][] {
  return names.map((name) => [name, embedded(`page/${name}`) as Buffer]);
}

async function filesBesideTheSources(): Promise<[name: string, body: Buffer][]> {
  const folder = fileURLToPath(new URL('../../web/', import.meta.url));
  const names = (await readdir(folder)).filter((name) => extname(name) in TYPES);
  const files = names.map((name) => [name, join(folder, name)] as const);
  const hls = createRequire(import.meta.url).resolve('hls.js/dist/hls.min.mjs');
  const all = [...files, ['vendor/hls.mjs', hls] as const];
  return Promise.all(all.map(async ([name, path]): Promise<[string, Buffer]> => [name, await readFile(path)]));
}
