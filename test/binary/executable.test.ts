/** What an executable must do besides what the other tests ask of every server. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { numberedMedia } from '../fixtures/media.ts';
import { EXECUTABLE, listeningUrl, SERVER_PATH, spawnServer } from '../fixtures/server-process.ts';

const ROOT = new URL('../../', import.meta.url);
const executable = EXECUTABLE ?? '';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function bytesOf(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  assert.equal(response.status, 200, url);
  return new Uint8Array(await response.arrayBuffer());
}

describe('an executable', { skip: EXECUTABLE === undefined && 'RAFFI_TEST_EXECUTABLE names none' }, () => {
  test('with nothing around it, not even FFmpeg, plays what can be copied, says what is missing, and ends', async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    await using server = spawnServer({ PATH: '' });
    const url = await listeningUrl(server);
    assert.deepEqual(await (await fetch(`${url}/health`)).json(), { status: 'ok' });
    const created = await fetch(`${url}/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: film }),
    });
    const { id } = (await created.json()) as { id: string };
    assert.match(Buffer.from(await bytesOf(`${url}/sessions/${id}/stream.m3u8`)).toString(), /original/);
    assert.ok((await bytesOf(`${url}/sessions/${id}/original/1.m4s`)).length > 1000);
    const capabilities = (await (await fetch(`${url}/capabilities`)).json()) as { missing: string[] };
    assert.match(capabilities.missing.join(' '), /ffmpeg is not installed\. What cannot be copied does not play\./);
    assert.match(server.words(), /ffmpeg is not installed/);
    assert.doesNotMatch(server.words(), /Warning/);
    server.child.kill('SIGTERM');
    assert.deepEqual(await server.exited, [0, null]);
  });

  test('serves the page, and what it loads, as the sources do', async () => {
    await using server = spawnServer();
    const url = await listeningUrl(server);
    const names = readdirSync(new URL('web/', ROOT)).filter((name) => /\.(?:html|css|m?js|svg)$/.test(name));
    assert.ok(names.length > 20, `${names.length} files`);
    for (const name of names) {
      const served = await bytesOf(url + (name === 'index.html' ? '/' : `/web/${name}`));
      assert.equal(sha256(served), sha256(readFileSync(new URL(`web/${name}`, ROOT))), name);
    }
    const hls = readFileSync(new URL('node_modules/hls.js/dist/hls.min.mjs', ROOT));
    assert.equal(sha256(await bytesOf(`${url}/web/vendor/hls.mjs`)), sha256(hls));
    const description = JSON.parse(Buffer.from(await bytesOf(`${url}/openapi.json`)).toString());
    assert.ok(Object.keys(description.paths).length > 20);
  });

  test('finds the FFmpeg that lies beside it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'raffi-beside-'));
    try {
      const here = join(folder, 'decoder');
      try {
        linkSync(executable, here);
      } catch {
        copyFileSync(executable, here); // on another file system
      }
      symlinkSync(join(SERVER_PATH, 'ffmpeg'), join(folder, 'ffmpeg'));
      symlinkSync(join(SERVER_PATH, 'ffprobe'), join(folder, 'ffprobe'));
      await using server = spawnServer({ PATH: '' }, here);
      const answer = await fetch(`${await listeningUrl(server)}/capabilities`);
      const { ffmpeg, ffprobe, missing } = (await answer.json()) as Record<string, unknown>;
      assert.ok(ffmpeg && ffprobe, JSON.stringify(missing));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('says its version and all licences, and obeys no options that are for another Node', async () => {
    const { version } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as { version: string };
    const ask = (argument: string): string => execFileSync(executable, [argument], { env: {}, encoding: 'utf8' });
    assert.equal(ask('--version'), `raffi-server ${version}\n`);
    const licences = ask('--licences');
    for (const words of [
      'raffi-server',
      'fastify 5',
      'hls.js 1',
      'Apache License',
      'Mozilla Public License',
      'OpenSSL',
    ])
      assert.ok(licences.includes(words), words);
    await using server = spawnServer({ NODE_OPTIONS: '--require=/nonexistent.js' });
    assert.match(await listeningUrl(server), /^http:/);
  });
});
