import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Spare } from './spare.ts';
import { collect, contentOf, folder, never, processesWith, script } from './test-processes.ts';
import { transcode } from './transcoder.ts';

const directory = folder();
const starts = join(directory, 'starts');
/** Says who it is, then gives back what comes in. */
const ffmpeg = script(join(directory, 'spare-ffmpeg'), `echo $$ >> ${starts}; printf "%s:" "$$"; exec cat`);
const job = { ffmpeg, args: ['a', 'b'] };

async function output(args: readonly string[], spare: Spare): Promise<string> {
  const input = (async function* () {
    yield Buffer.from('sound');
  })();
  return Buffer.concat(await collect(transcode({ ffmpeg, args, input, signal: never, spare }))).toString();
}

describe('Spare', () => {
  it('gives the process that it has started to one who wants the same, once', async () => {
    const spare = new Spare();
    spare.prepare(job);
    const child = await spare.take(job);
    const pid = (await new Promise<Buffer>((resolve) => child?.stdout.once('data', resolve))).toString();
    assert.match(pid, /^\d+:$/);
    assert.equal(await spare.take(job), undefined);
    spare.prepare(job);
    assert.equal(await spare.take({ ffmpeg, args: ['a'] }), undefined);
    await spare.end();
    child?.terminate(10);
    child?.closePipes();
    await child?.closed;
  });

  it('does the work of a transcoder with the process that is there', async () => {
    const spare = new Spare();
    spare.prepare(job);
    const before = (await contentOf(starts)).length;
    const pids = async (): Promise<string[]> => (await contentOf(starts)).slice(before).trim().split('\n');
    while ((await contentOf(starts)).length === before) await delay(5);
    const [prepared] = await pids();
    assert.equal(await output(job.args, spare), `${prepared}:sound`);
    assert.equal((await pids()).length, 1);
    assert.notEqual(await output(job.args, spare), `${prepared}:sound`);
    assert.equal((await pids()).length, 2);
    await spare.end();
  });

  it('gives nobody a process that has died', async () => {
    const spare = new Spare();
    const dying = { ffmpeg: script(join(directory, 'dying-ffmpeg'), 'exit 1'), args: [] };
    spare.prepare(dying);
    while (processesWith('dying-ffmpeg').length > 0) await delay(5);
    await delay(200);
    assert.equal(await spare.take(dying), undefined);
    spare.prepare({ ffmpeg: join(directory, 'there-is-none'), args: [] });
    await spare.end();
  });

  it('leaves no process behind, also when it is ended while one starts', async () => {
    const stubborn = script(join(directory, 'stubborn-ffmpeg'), "trap '' TERM; while :; do sleep 1000; done");
    const spare = new Spare();
    spare.prepare({ ffmpeg: stubborn, args: [] });
    await spare.end();
    assert.deepEqual(processesWith(stubborn), []);
    spare.prepare({ ffmpeg: stubborn, args: [] });
    while (processesWith(stubborn).length === 0) await delay(5);
    await delay(50);
    void spare.end();
    await spare.end();
    assert.deepEqual(processesWith(stubborn), [], 'whoever ends it last waits as well');
  });

  it('ends what its process has started too, even when that has died', async () => {
    const inner = script(join(directory, 'inner-ffmpeg'), "trap '' TERM; while :; do sleep 1000; done");
    const job = { ffmpeg: script(join(directory, 'outer-ffmpeg'), `${inner} "$@"`), args: [] };
    const spare = new Spare();
    for (const kill of [false, true]) {
      spare.prepare(job);
      while (processesWith(inner).length === 0) await delay(5);
      await delay(50);
      if (kill) for (const pid of processesWith(job.ffmpeg)) process.kill(pid, 'SIGKILL');
      while (kill && processesWith(inner).length > 0) await delay(5);
      await spare.end();
      while (processesWith(inner).length > 0) await delay(5);
    }
  });
});
