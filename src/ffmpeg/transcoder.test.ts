import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { AppError } from '../errors.ts';
import {
  collect,
  contentOf,
  cpuTicks,
  folder,
  inPieces,
  never,
  processesWith,
  realFfmpeg,
  script,
  settled,
} from './test-processes.ts';
import { FfmpegFailure, type TranscodeOptions, transcode } from './transcoder.ts';

const directory = folder();
let ffmpeg = '';
before(async () => {
  ffmpeg = await realFfmpeg();
});

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Raw 16-bit stereo sound, endlessly: 192 kB a second of it. Tells how much was pulled and whether it was ended. */
class EndlessSound {
  pulled = 0;
  ended = false;
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const piece = Buffer.alloc(64 * 1024);
    try {
      for (;;) {
        this.pulled += 1;
        for (let at = 0; at < piece.length; at += 2) piece.writeInt16LE(((at * this.pulled) % 20_000) - 10_000, at);
        yield piece;
      }
    } finally {
      this.ended = true;
    }
  }
}

let count = 0;
/** An argument by which the process can be found. */
const mark = (): string => `raffi-test-${process.pid}-${count++}`;
const fromSound = (name: string): string[] => [
  ...['-hide_banner', '-loglevel', 'error', '-f', 's16le', '-ar', '48000', '-ac', '2', '-i', 'pipe:0'],
  ...['-metadata', `title=${name}`, '-f', 'wav', 'pipe:1'],
];
const options = (args: readonly string[], more: Partial<TranscodeOptions> = {}): TranscodeOptions => ({
  ffmpeg,
  args,
  input: nothing(),
  signal: never,
  ...more,
});
/** A process in the place of FFmpeg: `body` finds what the test gave it in $1. */
const fake = (body: string, more: Partial<TranscodeOptions> = {}): TranscodeOptions =>
  options([mark()], { ffmpeg: script(join(directory, `fake-${count++}`), body), ...more });
async function failureOf(running: AsyncIterable<unknown>): Promise<AppError & { cause: FfmpegFailure }> {
  const error: unknown = await collect(running).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AppError && error.cause instanceof FfmpegFailure, String(error));
  assert.equal(error.code, 'transcode-failed');
  return error as AppError & { cause: FfmpegFailure };
}

describe('transcode', () => {
  it('gives what FFmpeg makes of the input, whole, and leaves no process', async () => {
    const name = mark();
    const sound = Buffer.alloc(3_000_001);
    for (let at = 0; at + 2 <= sound.length; at += 2) sound.writeInt16LE((at * 7919) % 30_000, at);
    const input = inPieces(sound, () => 70_001);
    const args = fromSound(name).map((arg) => (arg === 'wav' ? 's16le' : arg));
    const output = Buffer.concat(await collect(transcode(options(args, { input }))));
    assert.ok(output.equals(sound.subarray(0, sound.length - (sound.length % 4))));
    assert.deepEqual(processesWith(name), []);
  });

  it('stops FFmpeg and the input while nobody asks, and goes on after that', async () => {
    const name = mark();
    const input = new EndlessSound();
    await using output = transcode(options(fromSound(name), { input }));
    await output.next();
    const pid = processesWith(name)[0] as number;
    const progress = (): [number, number] => [input.pulled, cpuTicks(pid)];
    let last = progress();
    for (let seconds = 1; ; seconds++) {
      await delay(1000);
      const now = progress();
      if (isDeepStrictEqual(now, last)) break;
      assert.ok(input.pulled < 64 && seconds < 20, `${now} pieces and ticks after ${last}, for one piece of output`);
      last = now;
    }
    const { pulled } = input;
    for (let bytes = 0; bytes < 8_000_000; ) bytes += (await output.next()).value?.length ?? assert.fail('it ended');
    assert.ok(input.pulled > pulled);
  });

  it('ends process and input when the consumer leaves', async () => {
    const name = mark();
    const input = new EndlessSound();
    for await (const _ of transcode(options(fromSound(name), { input }))) break;
    assert.deepEqual(processesWith(name), []);
    assert.equal(input.ended, true);
  });

  it('ends the process when the consumer leaves while it waits, and the wait too', async () => {
    const running = fake('echo $$ > "$0.pid"; exec sleep 1000');
    const output = transcode(running);
    const pending = output.next();
    const pid = Number(await contentOf(`${running.ffmpeg}.pid`));
    assert.deepEqual(await output.return(), { done: true, value: undefined });
    assert.throws(() => process.kill(pid, 0), 'the process is gone');
    assert.deepEqual(await pending, { done: true, value: undefined });
  });

  it('starts nothing when it is left before the first next, or its signal has aborted', async () => {
    const marker = join(directory, 'marker');
    const running = fake(`touch ${marker}; echo out`);
    const output = transcode(running);
    await output.return();
    assert.deepEqual(await output.next(), { done: true, value: undefined });
    const aborted = transcode({ ...running, signal: AbortSignal.abort(new Error('no')) });
    await assert.rejects(aborted.next(), /no/);
    assert.equal(existsSync(marker), false);
  });

  it('ends a process that ignores SIGTERM, and what it started', async () => {
    const name = mark();
    const body = `trap '' TERM; sh -c 'trap "" TERM; while :; do sleep 1000; done' "$1" & echo out; while :; do sleep 1000; done`;
    const running = fake(body);
    const found = (): number[] => processesWith(running.args[0] as string);
    const output = transcode({ ...running, args: [`${running.args[0]}`, name] });
    await output.next();
    assert.ok(found().length >= 2);
    await output.return();
    await settled(() => found().length);
    assert.deepEqual(found(), []);
  });

  it('obeys the signal while it waits, with its reason, and removes its listener', async () => {
    const controller = new AbortController();
    const running = fake('echo $$ > "$0.pid"; exec sleep 1000', { signal: controller.signal });
    const failed = assert.rejects(collect(transcode(running)), /enough/);
    const pid = Number(await contentOf(`${running.ffmpeg}.pid`));
    controller.abort(new Error('enough'));
    await failed;
    assert.deepEqual(getEventListeners(controller.signal, 'abort'), []);
    assert.throws(() => process.kill(pid, 0), 'the process is gone');
  });

  it('obeys the signal between two pieces', async () => {
    const controller = new AbortController();
    const name = mark();
    const output = transcode(options(fromSound(name), { input: new EndlessSound(), signal: controller.signal }));
    await output.next();
    controller.abort(new Error('enough'));
    await assert.rejects(output.next(), /enough/);
    assert.deepEqual(processesWith(name), []);
  });
});

describe('failures of a transcoding', () => {
  it('tells exit code and last words, without addresses', async () => {
    const error = await failureOf(
      transcode(fake('echo first >&2; echo "http://127.0.0.1:1/secret?key=1: no such thing" >&2; echo out; exit 3')),
    );
    assert.equal(error.cause.exitCode, 3);
    assert.equal(error.cause.exitSignal, null);
    assert.match(error.cause.stderrTail, /^first\nhttp/);
    assert.match(error.cause.message, /first/);
    assert.equal(error.detail, 'FFmpeg ended with exit code 3: … no such thing');
  });

  it('gives all output before it tells of the failure', async () => {
    const seen: Uint8Array[] = [];
    const running = fake('head -c 900000 /dev/zero; exit 1');
    await assert.rejects(async () => {
      for await (const chunk of transcode(running)) {
        seen.push(chunk);
        await delay(1);
      }
    }, AppError);
    assert.equal(Buffer.concat(seen).length, 900_000);
  });

  it('tells the words of the real FFmpeg', async () => {
    const args = ['-hide_banner', '-loglevel', 'error', '-f', 'matroska', '-i', 'pipe:0', '-f', 'mp4', 'pipe:1'];
    const error = await failureOf(transcode(options(args, { input: inPieces(Buffer.alloc(5000, 'x'), () => 5000) })));
    assert.equal(error.cause.exitCode, 1);
    assert.match(error.detail, /^FFmpeg ended with exit code 1: pipe:0: \w+/);
  });

  it('tells the signal that killed FFmpeg', async () => {
    const name = mark();
    const output = transcode(options(fromSound(name), { input: new EndlessSound() }));
    await output.next();
    process.kill(processesWith(name)[0] as number, 'SIGKILL');
    const error = await failureOf(output);
    assert.equal(error.cause.exitSignal, 'SIGKILL');
    assert.match(error.detail, /SIGKILL/);
  });

  it('tells when there is nothing to start', async () => {
    await failureOf(transcode(options([], { ffmpeg: join(directory, 'absent') })));
  });

  it('is ended after silence', async () => {
    const running = fake('echo $$ > "$0.pid"; echo out; echo stuck >&2; exec sleep 1000', { stallMs: 1500 });
    const error = await failureOf(transcode(running));
    assert.equal(error.detail, 'FFmpeg was ended: it gave nothing for 1.5 s.');
    assert.match(error.cause.stderrTail, /stuck/);
    const pid = Number(await contentOf(`${running.ffmpeg}.pid`));
    assert.throws(() => process.kill(pid, 0), 'the process is gone');
  });

  it('is ended when it takes no input and gives nothing', async () => {
    const input = new EndlessSound();
    await failureOf(transcode(fake('exec sleep 1000', { stallMs: 300, input })));
    assert.equal(input.ended, true);
  });

  it('is ended when it takes all input and gives nothing', async () => {
    await failureOf(transcode(fake('exec cat > /dev/null', { stallMs: 300, input: new EndlessSound() })));
  });

  it('is ended when its output ends and it does not', async () => {
    await failureOf(transcode(fake('exec >&-; exec 2>&-; exec sleep 1000', { stallMs: 300 })));
  });

  it('is not blamed for a consumer that takes its time', async () => {
    await using output = transcode(fake('exec cat', { stallMs: 1500, input: new EndlessSound() }));
    await output.next();
    await delay(2000);
    assert.equal((await output.next()).done, false);
  });

  it('is not blamed for an input that takes its time', async () => {
    async function* slow(): AsyncGenerator<Uint8Array> {
      for (const word of ['a', 'b']) {
        await delay(2000);
        yield Buffer.from(word);
      }
    }
    const output = await collect(transcode(fake('exec cat', { stallMs: 1500, input: slow() })));
    assert.equal(Buffer.concat(output).toString(), 'ab');
  });
});

describe('the input of a transcoding', () => {
  it('wins with its error over what FFmpeg says of it', async () => {
    const name = mark();
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(1000);
      throw new AppError('source-truncated', 'It is short.');
    }
    await assert.rejects(collect(transcode(options(fromSound(name), { input: broken() }))), /source-truncated/);
    assert.deepEqual(processesWith(name), []);
  });

  it('may be longer than what FFmpeg reads, and may then fail or hang for all it cares', async () => {
    const input = new EndlessSound();
    const enough = await collect(transcode(fake('head -c 100000; exit 0', { input })));
    assert.equal(Buffer.concat(enough).length, 100_000);
    assert.equal(input.ended, true);
    const hanging = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
    const output = await collect(transcode(fake('echo done', { input: hanging })));
    assert.equal(Buffer.concat(output).toString(), 'done\n');
  });

  it('may be left while it hangs', async () => {
    const hanging = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
    const running = fake('echo out; exec cat', { input: hanging });
    for await (const _ of transcode(running)) break;
    assert.deepEqual(processesWith(running.args[0] as string), []);
  });

  it('may fail before it begins', async () => {
    const input = {
      [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
        throw new Error('no input at all');
      },
    };
    const running = fake('exec cat', { input });
    await assert.rejects(collect(transcode(running)), /no input at all/);
    assert.deepEqual(processesWith(running.args[0] as string), []);
  });

  it('may use its memory anew for each piece', async () => {
    async function* reusing(): AsyncGenerator<Uint8Array> {
      const memory = Buffer.alloc(300_000);
      for (let n = 0; n < 20; n++) yield memory.fill(n);
    }
    const output = Buffer.concat(await collect(transcode(fake('exec cat', { input: reusing() }))));
    assert.equal(output.length, 6_000_000);
    for (let n = 0; n < 20; n++) assert.ok(output.subarray(n * 300_000, (n + 1) * 300_000).every((byte) => byte === n));
  });
});

it('a server that is killed leaves no FFmpeg', { skip: process.platform !== 'linux' }, async () => {
  // Cares for no pipe, and can be told by its argument.
  const seconds = `1000.${process.pid}${count++}`;
  const { ffmpeg: command } = fake('echo out; exec sleep "$1"');
  const program = join(directory, 'server.ts');
  writeFileSync(
    program,
    `import { transcode } from ${JSON.stringify(new URL('./transcoder.ts', import.meta.url).href)};
     async function* input() {}
     const options = { ffmpeg: ${JSON.stringify(command)}, args: ['${seconds}'], input: input(), signal: new AbortController().signal };
     await transcode(options).next();
     process.stdout.write('ready');
     setInterval(() => {}, 1000);`,
  );
  const server = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(server.stdout, 'data');
  assert.equal(await settled(() => processesWith(seconds).length), 1); // while it becomes `sleep` it has no words
  server.kill('SIGKILL');
  await once(server, 'exit');
  await settled(() => processesWith(seconds).length);
  assert.deepEqual(processesWith(seconds), []);
});

it('leaves neither processes nor descriptors, however it ends', { skip: process.platform !== 'linux' }, async () => {
  const controllers = Array.from({ length: 24 }, () => new AbortController());
  const running = fake('echo out; exec cat');
  const open = (): number => readdirSync('/proc/self/fd').length;
  const use = async (n: number): Promise<void> => {
    const { signal } = controllers[n] as AbortController;
    const input = new EndlessSound();
    const output = transcode({ ...running, input, signal });
    for (let taken = 0; taken < n; taken++) await output.next();
    if (n % 3 === 0) (controllers[n] as AbortController).abort(new Error('enough'));
    else if (n % 3 === 1) void output.next();
    await output.return();
    if (n > 0) assert.equal(input.ended, true);
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  };
  await use(2);
  const before = open();
  for (let n = 0; n < 24; n += 4) await Promise.all([0, 1, 2, 3].map((more) => use(n + more)));
  assert.equal(open(), before);
  assert.deepEqual(processesWith(running.args[0] as string), []);
});
