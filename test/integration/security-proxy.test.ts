/**
 * Behind a TLS proxy on this machine, as SECURITY.md sets it up: its own example is run by nginx where there is one, and by a stand-in that does to headers what nginx does.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { createServer, request as httpsRequest } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { certificate } from '../fixtures/tls.ts';
import { startTestServer, type TestServer } from './harness.ts';

const KEY = 'the-api-key-of-this-test';
const NAME = 'films.example';

interface Proxy extends AsyncDisposable {
  readonly port: number;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

function whyNoNginx(): string | undefined {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'nginx is not installed (the stand-in is tested)';
  }
}

/** Ports that nobody has just now. */
async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The example of SECURITY.md, with ports and certificates of the test. */
async function startNginx(upstream: string): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-nginx-'));
  const port = await freePort();
  const words = readFileSync(new URL('../../SECURITY.md', import.meta.url), 'utf8');
  const example = /```nginx\n(.*?)```/s.exec(words)?.[1] as string;
  writeFileSync(join(folder, 'cert.pem'), certificate.cert);
  writeFileSync(join(folder, 'key.pem'), certificate.key);
  const server = example
    .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replace(/# ssl_certificate .*/, `ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;`)
    .replace('http://127.0.0.1:6969', upstream);
  assert.ok(server.includes(upstream) && server.includes('key.pem') && server.includes(String(port)), server);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${folder}/${kind};`,
  );
  const config = [
    `daemon off; pid ${folder}/pid; error_log stderr notice; worker_processes 1;`,
    'events {}',
    `http { access_log off; ${paths.join(' ')}\n${server}\n}`,
  ];
  writeFileSync(join(folder, 'nginx.conf'), config.join('\n'));
  const child: ChildProcess = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  let complaints = '';
  const started = Promise.withResolvers<void>();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
    if (complaints.includes('start worker process ')) started.resolve();
  });
  child.once('exit', () => started.reject(new Error(complaints)));
  await started.promise;
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Does to a request what the example tells nginx to do: `proxy_set_header Host $http_host`, `X-Forwarded-For $proxy_add_x_forwarded_for`; `Connection` is its own. */
async function startStandIn(upstream: string): Promise<Proxy> {
  const server = createServer(certificate, (incoming, outgoing) => {
    const { connection: _connection, 'x-forwarded-for': before, ...headers } = incoming.headers;
    const seen = incoming.socket.remoteAddress as string;
    const forwarded = before === undefined ? seen : `${[before].flat().join(', ')}, ${seen}`;
    const { method } = incoming;
    const asked = httpRequest(
      new URL(incoming.url as string, upstream),
      { method, headers: { ...headers, 'x-forwarded-for': forwarded, connection: 'close' } },
      (answer) => {
        outgoing.writeHead(answer.statusCode as number, answer.headers);
        answer.pipe(outgoing);
      },
    );
    asked.on('error', () => outgoing.destroy());
    incoming.pipe(asked);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

for (const [kind, start, why] of [
  ['nginx', startNginx, whyNoNginx()],
  ['the stand-in', startStandIn, undefined],
] as const) {
  describe(`behind ${kind}`, { skip: why ?? false, timeout: 120_000 }, () => {
    let server: TestServer;
    let proxy: Proxy;
    let film: string;
    before(async () => {
      film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
      server = await startTestServer({ RAFFI_ALLOWED_HOSTS: NAME, RAFFI_API_KEY: KEY });
      proxy = await start(server.url);
    });
    after(async () => {
      await proxy?.[Symbol.asyncDispose]();
      await server?.[Symbol.asyncDispose]();
    });

    function ask(path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
      return new Promise((resolve, reject) => {
        const options = {
          ...{ host: '127.0.0.1', port: proxy.port, path, rejectUnauthorized: false, agent: false },
          ...{ method: body === undefined ? 'GET' : 'POST', headers: { host: NAME, ...headers } },
        };
        httpsRequest(options, async (response) => {
          const parts: Buffer[] = [];
          for await (const part of response) parts.push(part as Buffer);
          const { statusCode: status = 0, headers: answered } = response;
          resolve({ status, headers: answered, body: Buffer.concat(parts) });
        })
          .on('error', reject)
          .end(body);
      });
    }
    const key = { authorization: `Bearer ${KEY}` };
    const codeOf = ({ body }: Answer): string => (JSON.parse(body.toString()) as { code: string }).code;

    test('nobody is a program of this machine, whatever they say', async () => {
      const id = await server.create({ source: film });
      for (const headers of [
        {},
        { 'x-forwarded-for': '127.0.0.1' },
        { 'x-forwarded-for': '' },
        { 'x-real-ip': '127.0.0.1' },
        { forwarded: 'for=127.0.0.1' },
        { connection: 'close, x-forwarded-for' },
      ]) {
        const words = JSON.stringify(headers);
        assert.deepEqual(codeOf(await ask('/sessions', headers)), 'unauthorized', words);
        assert.deepEqual(codeOf(await ask(`/sessions/${id}/stream.m3u8`, headers)), 'unauthorized', words);
        assert.deepEqual(codeOf(await ask('/health', headers)), 'forbidden', words);
      }
      assert.equal((await ask('/health', { ...key, host: 'evil.example' })).status, 421);
      assert.equal((await ask('/health', { ...key, origin: 'https://evil.example' })).status, 403);
    });

    test('with the key everything works, but no files of this machine and no private addresses', async () => {
      assert.equal((await ask('/health', key)).status, 200);
      const create = (source: string) =>
        ask('/sessions', { ...key, 'content-type': 'application/json' }, JSON.stringify({ source }));
      for (const source of [film, 'http://127.0.0.1:1/a.mkv', 'http://192.168.0.1/a.mkv', `https://${NAME}/sessions`])
        assert.equal(codeOf(await create(source)), 'source-not-allowed', source);
      assert.equal((await create('https://films.invalid/a.mkv')).status, 201);
      const page = { ...key, origin: `https://${NAME}`, 'sec-fetch-site': 'same-origin' };
      assert.equal((await ask('/sessions', page)).status, 200);
    });

    test('a film comes through whole, with ranges and tokens', async () => {
      const id = await server.create({ source: film });
      const bytes = readFileSync(film);
      const whole = await ask(`/sessions/${id}/file`, key);
      assert.deepEqual([whole.status, whole.body.equals(bytes)], [200, true]);
      const part = await ask(`/sessions/${id}/file`, { ...key, range: 'bytes=5-9' });
      assert.deepEqual([part.status, part.body], [206, bytes.subarray(5, 10)]);
      const token = (
        await server.json<{ token: string }>('/cast/token', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ sessionId: id }),
        })
      ).body.token;
      const playlist = await ask(`/sessions/${id}/original/playlist.m3u8?cast_token=${token}`);
      assert.match(playlist.body.toString(), /0\.m4s\?cast_token=/);
      const segment = await ask(`/sessions/${id}/original/0.m4s?cast_token=${token}`);
      const own = Buffer.from(await server.bytes(`/sessions/${id}/original/0.m4s`));
      assert.deepEqual([segment.status, segment.body.equals(own)], [200, true]);
    });
  });
}
