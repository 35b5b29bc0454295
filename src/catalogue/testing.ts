/** Catalogues of add-ons on 127.0.0.1, for tests. */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An entry as real catalogues have them. */
export function addon(name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    transportUrl: `https://${name}.example/manifest.json`,
    transportName: 'http',
    manifest: {
      id: `example.${name}`,
      version: '1.0.0',
      name: `Add-on ${name}`,
      description: `About ${name}`,
      resources: ['stream'],
    },
    flags: { official: true },
    ...more,
  };
}

export interface Upstream extends AsyncDisposable {
  readonly url: URL;
  /** What it does with a request; may be changed. */
  answer: RequestListener;
  /** Headers of each request so far. */
  readonly requests: Record<string, string | string[] | undefined>[];
}

export async function startUpstream(answer: RequestListener): Promise<Upstream> {
  const server = createServer((request, response) => {
    upstream.requests.push(request.headers);
    upstream.answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const upstream: Upstream = {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/addons.json`),
    answer,
    requests: [],
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
  return upstream;
}

/** Answers with JSON, and with its ETag where the request does not know that. */
export function json(value: unknown, etag?: string): RequestListener {
  return (request, response) => {
    if (etag !== undefined && request.headers['if-none-match'] === etag) {
      response.writeHead(304, { etag }).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json', ...(etag === undefined ? {} : { etag }) });
    response.end(JSON.stringify(value));
  };
}
