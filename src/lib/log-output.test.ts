import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { LogOutput } from './log-output.ts';

/** A stream whose other side takes nothing before it is told to. */
function slow(): { readonly stream: Writable; readonly taken: string[]; readonly take: () => void } {
  const taken: string[] = [];
  let waiting: (() => void) | undefined;
  let flows = false;
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      taken.push(chunk);
      if (flows) done();
      else waiting = done;
    },
  });
  const take = (): void => {
    flows = true;
    waiting?.();
  };
  return { stream, taken, take };
}

test('what a reader does not take is lost beyond a mebibyte, and a line says how much', async () => {
  const { stream, taken, take } = slow();
  const output = new LogOutput(stream);
  const line = `${'x'.repeat(1023)}\n`;
  for (let n = 0; n < 1024 + 7; n += 1) output.write(line);
  assert.ok(stream.writableLength <= 1 << 20);
  const drained = once(stream, 'drain');
  take();
  await drained;
  output.write('{"msg":"again"}\n');
  assert.equal(taken.filter((written) => written === line).length, 1024);
  const [lost, again] = taken.slice(-2);
  assert.deepEqual(
    { ...(JSON.parse(lost as string) as object), time: 0 },
    { level: 40, time: 0, msg: '7 lines of the log are lost: nobody took them' },
  );
  assert.equal(again, '{"msg":"again"}\n');
});

test('a disk that takes nothing is no error, and is written to again', () => {
  let isFull = true;
  const taken: string[] = [];
  const output = new LogOutput({
    writableLength: 0,
    listeners: () => [],
    on: () => undefined,
    write: (chunk: string, done: (error?: Error) => void) => {
      if (!isFull) taken.push(chunk);
      done(isFull ? new Error('ENOSPC') : undefined);
    },
  } as unknown as Writable);
  output.write('lost\n');
  isFull = false;
  output.write('kept\n');
  assert.match(taken[0] as string, /1 lines of the log are lost/);
  assert.equal(taken[1], 'kept\n');
});
