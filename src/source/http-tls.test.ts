import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { certificate } from '../../test/fixtures/tls.ts';
import { AppError } from '../errors.ts';
import { anyAddress } from './guard.ts';
import { openHttp } from './http.ts';

const body = Buffer.alloc(1000, 'raffi');

async function withServer(use: (url: (host: string) => URL) => Promise<void>): Promise<void> {
  const server = createServer(certificate, (_request, response) => {
    response.writeHead(206, { 'content-range': 'bytes 0-999/1000' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await use((host) => new URL(`https://${host}:${port}/v.mp4`));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const open = (url: URL) => openHttp(url, anyAddress, new AbortController().signal);

test('a certificate that nobody vouches for is told at once', () =>
  withServer(async (url) => {
    await assert.rejects(open(url('localhost')), (error) => {
      assert.ok(error instanceof AppError);
      assert.equal(error.code, 'source-unreachable');
      assert.match(error.detail, /its secure connection failed \(DEPTH_ZERO_SELF_SIGNED_CERT\)/);
      return true;
    });
  }));

test('a trusted certificate opens, for its own names only', () =>
  withServer(async (url) => {
    const trusted = getCACertificates('default');
    setDefaultCACertificates([...trusted, certificate.cert]);
    try {
      for (const host of ['localhost', '127.0.0.1']) {
        await using source = await open(url(host));
        assert.ok(Buffer.from(await source.read(0, 1000)).equals(body));
      }
      // It is this machine too, but the certificate does not know the name.
      await assert.rejects(open(url('127.0.0.2')), /ERR_TLS_CERT_ALTNAME_INVALID/);
    } finally {
      setDefaultCACertificates(trusted);
    }
  }));
