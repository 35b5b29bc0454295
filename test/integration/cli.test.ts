import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, watch, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SHELL } from '../../src/ffmpeg/test-processes.ts';
import { numberedMedia } from '../fixtures/media.ts';
import { SERVER_PATH, serverCommand } from '../fixtures/server-process.ts';

const [SERVER, ...WORDS] = serverCommand('bin/raffi-server.mjs');

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('raffi-server', () => {
  let folder: string;
  let film: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'raffi-test-cli-'));
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac', 'dts'], seconds: 12 });
  });
  /** Those that a failed test has left. */
  const running = new Set<ChildProcess>();
  after(async () => {
    for (const child of running) child.kill('SIGKILL');
    await rm(folder, { recursive: true });
  });

  const start = (words: readonly string[], env: Record<string, string> = {}): ChildProcess => {
    const child = spawn(SERVER, [...WORDS, ...words], {
      cwd: folder,
      env: { PATH: SERVER_PATH, RAFFI_SERVER_ADDR: '127.0.0.1:0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    return child;
  };
  const ended = async (child: ChildProcess): Promise<Ended> => {
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, stdout, stderr };
  };
  const run = (words: readonly string[], env?: Record<string, string>): Promise<Ended> => ended(start(words, env));

  test('tells its version and how it is used; words that make no sense are status 2', async () => {
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
      version: string;
    };
    assert.deepEqual(await run(['--version']), { status: 0, stdout: `raffi-server ${version}\n`, stderr: '' });
    const help = await run(['--help']);
    assert.equal(help.status, 0);
    for (const command of ['serve', 'play', 'probe', 'clip'])
      assert.match(help.stdout, new RegExp(`raffi-server \\[?${command}`));
    const wrongVariable = await run(['--version'], { RAFFI_CACHE_BYTES: 'x' });
    assert.deepEqual([wrongVariable.status, wrongVariable.stderr], [0, '']);
    const wrong = await run(['clip', film]);
    assert.deepEqual([wrong.status, wrong.stdout], [2, '']);
    assert.match(wrong.stderr, /^"clip" needs --start and --end\. raffi-server --help tells more\.\n$/);
  });

  test('who reads its output may leave: that is no fault, and a server goes on', async () => {
    const help = start(['--help']);
    help.stdout?.destroy();
    assert.deepEqual(await ended(help), { status: 0, stdout: '', stderr: '' });

    const server = start(['serve']);
    server.stdout?.destroy();
    const end = ended(server);
    // What is logged after the line that nobody reads.
    await new Promise<void>((resolve) => {
      let text = '';
      server.stderr?.on('data', (part: string) => {
        text += part;
        if (text.split('\n').length > 2) resolve();
      });
      server.once('close', () => resolve());
    });
    server.kill('SIGTERM');
    const { status, stderr } = await end;
    assert.equal(status, 0, stderr);
  });

  test('probe: a table for people, the same as JSON for programs', async () => {
    const people = await run(['probe', film]);
    assert.deepEqual([people.status, people.stderr], [0, '']);
    assert.match(people.stdout, /matroska, 0:00:12,/);
    assert.match(people.stdout, /6 key frames, 2 s apart on the average, 2(?:\.\d+)? s at most/);
    assert.match(people.stdout, /^ {2}video 0 +h264 avc1\.\w+ .* copied$/m);
    assert.match(people.stdout, /^ {2}audio 1 +dts .* transcoded +\S/m);
    assert.match(people.stdout, /^Plays; re-encoded: audio 1 \(dts\)\.$/m);

    const { status, stdout } = await run(['probe', '--json', film]);
    const probed = JSON.parse(stdout) as {
      keyFrames: { count: number };
      tracks: { delivery: string }[];
      playable: boolean;
    };
    assert.equal(status, 0);
    assert.equal(probed.keyFrames.count, 6);
    assert.deepEqual(
      probed.tracks.map(({ delivery }) => delivery),
      ['copied', 'copied', 'transcoded'],
    );
    assert.equal(probed.playable, true);
  });

  test('probe: what cannot be opened, or not be played, is status 1 and says why', async () => {
    await writeFile(join(folder, 'page.mkv'), '<!doctype html>');
    const gone = await run(['probe', 'gone.mkv']);
    assert.deepEqual(gone, { status: 1, stdout: '', stderr: `The file ${join(folder, 'gone.mkv')} does not exist.\n` });
    const page = await run(['probe', '--json', 'page.mkv']);
    assert.equal(page.status, 1);
    assert.equal((JSON.parse(page.stdout) as { errorCode: string }).errorCode, 'media-unrecognised');
    const mute = await numberedMedia({ container: 'avi', video: 'mpeg4', seconds: 4 });
    const { status, stderr } = await run(['probe', mute], { PATH: '' });
    assert.equal(status, 1);
    assert.match(stderr, /\(AVI\) needs FFmpeg and ffprobe, which are not installed\.\n$/);
  });

  test('clip: a file where it was wanted, never over another', async () => {
    await mkdir(join(folder, 'clips'));
    const words = ['clip', film, '--start', '1.4', '--end', '0:05', '-o', 'clips/cut.mp4'];
    const first = await run(words);
    assert.deepEqual(first, { status: 0, stdout: `${join(folder, 'clips', 'cut.mp4')}\n`, stderr: '' });
    const second = await run([...words, '--json', '--audio', '1']);
    assert.deepEqual(JSON.parse(second.stdout), { outputPath: join(folder, 'clips', 'cut (2).mp4'), method: 'smart' });
    const probed = await run(['probe', '--json', 'clips/cut.mp4']);
    const { durationSeconds } = JSON.parse(probed.stdout) as { durationSeconds: number };
    assert.ok(Math.abs(durationSeconds - 3.6) < 0.06, `${durationSeconds} s`);

    for (const [at, into] of [
      ['clips', 'clips'],
      ['new/', 'new'],
    ] as const) {
      const { stdout } = await run(['clip', film, '--start', '1', '--end', '2', '-o', at]);
      const path = stdout.trim();
      assert.equal(dirname(path), join(folder, into), 'a folder takes a file with a name of its own');
      assert.ok(existsSync(path), path);
      await rm(path);
    }

    for (const [more, says] of [
      [['--start', '5', '--end', '1'], /^--end: /],
      [['--start', '1', '--end', '2', '--audio', '2'], /^--audio: the source has 2 audio tracks/],
    ] as const) {
      const wrong = await run(['clip', film, ...more, '-o', 'clips/no.mp4']);
      assert.equal(wrong.status, 1);
      assert.match(wrong.stderr, says);
    }
    assert.deepEqual((await readdir(join(folder, 'clips'))).sort(), ['cut (2).mp4', 'cut.mp4']);
  });

  test('a signal ends it with its own status, and nothing is left', async () => {
    // It takes connections, and says nothing.
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/film.mkv`;
    const child = start(['clip', url, '--start', '1', '--end', '2', '-o', 'left/x.mp4']);
    const end = ended(child);
    const [socket] = (await once(silent, 'connection')) as [Socket];
    socket.on('error', () => {});
    child.kill('SIGINT');
    assert.deepEqual(await end, { status: 130, stdout: '', stderr: '' });
    assert.equal((await readdir(folder)).includes('left'), false);
    socket.destroy();
    silent.close();
  });

  test('play: opens the page on the source, also that of a server which is there already', async (t) => {
    const bin = join(folder, 'bin');
    await mkdir(bin);
    const opened = join(folder, 'opened');
    for (const name of ['xdg-open', 'open']) {
      await writeFile(
        join(bin, name),
        `${SHELL}printf '%s\\n' "$@" > "${opened}.part" && mv "${opened}.part" "${opened}-$$"\n`,
      );
      await chmod(join(bin, name), 0o755);
    }
    const env = { PATH: `${bin}${delimiter}${SERVER_PATH}`, DISPLAY: ':9' };
    const watching = new AbortController();
    t.after(() => watching.abort());
    const file = arrival(folder, /^opened-\d+$/, watching.signal);
    file.catch(() => {}); // when the test has failed before
    const child = start(['play', film, '--at', '0:03'], env);
    const end = ended(child);
    const [listening, opening] = await lines(child, 2);
    const url = /^Server listening on (http:\S+)$/.exec(listening as string)?.[1] as string;
    const page = `${url}/#source=${encodeURIComponent(film)}&t=3`;
    assert.equal(opening, `Opening ${page}`);
    assert.equal((await fetch(url)).status, 200);

    // The port is taken, by a server that can play it.
    const address = new URL(url).host;
    const again = await run(['play', film], { ...env, RAFFI_SERVER_ADDR: address, DISPLAY: '' });
    assert.deepEqual(again, { status: 0, stdout: `Open ${url}/#source=${encodeURIComponent(film)}\n`, stderr: '' });
    const serve = await run(['serve'], { RAFFI_SERVER_ADDR: address });
    assert.equal(serve.status, 1);
    assert.match(serve.stderr, new RegExp(`The address ${address} is already in use .* RAFFI_SERVER_ADDR`));

    child.kill('SIGTERM');
    assert.equal((await end).status, 0);
    assert.equal(await readFile(join(folder, await file), 'utf8'), `${page}\n`);
  });

  test('play: what is no source is told at once, and nothing is served', async () => {
    const wrong = await run(['play', 'ftp://example.com/x']);
    assert.deepEqual([wrong.status, wrong.stdout], [1, '']);
    assert.match(wrong.stderr, /scheme "ftp:"/);
  });
});

/** The first lines on stdout. */
function lines(child: ChildProcess, count: number): Promise<string[]> {
  let text = '';
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (part: string) => {
      text += part;
      const found = text.split('\n');
      if (found.length > count) resolve(found.slice(0, count));
    });
    child.once('close', () => reject(new Error(`it ended after ${JSON.stringify(text)}`)));
  });
}

/** The name of a file that comes into a folder. */
async function arrival(folder: string, name: RegExp, signal: AbortSignal): Promise<string> {
  for await (const { filename } of watch(folder, { signal }))
    if (filename !== null && name.test(filename)) return filename;
  throw new Error('nobody watches any more');
}
