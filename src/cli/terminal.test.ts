import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Progress, plain, table } from './terminal.ts';

function screen(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 50 });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => String(stream.read() ?? '') };
}

test('a bar is one line that grows, and is gone at the end', () => {
  const { stream, text } = screen(true);
  using progress = new Progress(stream);
  progress.show('clip.mp4', 0.5);
  progress.show('clip.mp4', 0.5);
  assert.equal(text(), `\r\u001b[K[${'='.repeat(15)}${' '.repeat(15)}]  50 % clip.mp4`);
  progress.show('a name that is longer than the terminal is wide', 1);
  const line = text().slice(4);
  assert.equal(line.length, 49);
  progress[Symbol.dispose]();
  assert.equal(text(), '\r\u001b[K');
});

test('there is none where nobody looks', () => {
  const { stream, text } = screen(false);
  using progress = new Progress(stream);
  progress.show('clip.mp4', 0.5);
  progress[Symbol.dispose]();
  assert.equal(text(), '');
});

test('what a source is called neither moves the cursor nor turns the line around', () => {
  assert.equal(plain('a\u001b[2Jb\r\n\u202ec'), 'a\ufffd[2Jb\ufffd\ufffd\ufffdc');
  assert.equal(
    table([
      ['a', 'b'],
      ['long', 'c'],
    ]),
    '  a     b\n  long  c\n',
  );
});
