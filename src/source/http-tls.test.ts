import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { AppError } from '../errors.ts';
import { anyAddress } from './guard.ts';
import { openHttp } from './http.ts';

/** Made for this test alone, with openssl: CN localhost, valid until 2126. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgh+ICwl1Nx187lgPM
Ciary9nJFA4WpqBgnOM0oE8COWOhRANCAAR/RsCpmtqIK4LOYWK1puv+1LwnGq2P
w+jKAY8qEqm2yUX6Gv7Y30O+xsnJX7u2V1iZsvD0eHY/fNXHSnjkwLY+
-----END PRIVATE KEY-----`;
const cert = `-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUbSMoHKEAsplE+QirVMJlpGuBvcUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTE1MDQzNFoYDzIxMjYxMDI4
MTUwNDM0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAR/RsCpmtqIK4LOYWK1puv+1LwnGq2Pw+jKAY8qEqm2yUX6Gv7Y30O+
xsnJX7u2V1iZsvD0eHY/fNXHSnjkwLY+o28wbTAdBgNVHQ4EFgQUPljCzmYuV7Xp
Jt4OpiAs+9VkNngwHwYDVR0jBBgwFoAUPljCzmYuV7XpJt4OpiAs+9VkNngwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgcOcheYCghbLIoFkl+pVUT39UGhdu5EA2KQ5FKrMsglMCIG0n
EF+Z47AatBf7UsCAgJ6sk3filzQvTtrI/CcjL8Z1
-----END CERTIFICATE-----`;

const body = Buffer.alloc(1000, 'raffi');

async function withServer(use: (url: (host: string) => URL) => Promise<void>): Promise<void> {
  const server = createServer({ key, cert }, (_request, response) => {
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
    setDefaultCACertificates([...trusted, cert]);
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
