import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError } from '../errors.ts';
import { openFile } from '../source/file.ts';
import { findBinary } from './binaries.ts';
import { LoopbackReader } from './loopback.ts';
import { type Probed, type ProbeOptions, probeWithFfprobe } from './probe.ts';
import { toMediaInfo } from './probe-answer.ts';

const directory = mkdtempSync(join(tmpdir(), 'raffi-probe-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const signal = new AbortController().signal;
let ffprobe = '';

function make(name: string, ...args: string[]): string {
  const path = join(directory, name);
  const input = [
    '-f',
    'lavfi',
    '-i',
    'testsrc2=size=320x180:rate=25:duration=3',
    '-f',
    'lavfi',
    '-i',
    'sine=duration=3:sample_rate=44100',
  ];
  execFileSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...input, ...args, path], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return path;
}

function fake(name: string, body: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Probes a local file as the server does: through the loopback reader. */
async function probe(
  path: string,
  options: Omit<ProbeOptions, 'loopback' | 'label' | 'signal'> & { signal?: AbortSignal },
): Promise<Probed | undefined> {
  await using source = await openFile(path, signal);
  await using loopback = await LoopbackReader.open(source);
  return await probeWithFfprobe({ loopback, label: path, signal, ...options });
}

before(async () => {
  ffprobe = (await findBinary('ffprobe', { pathEntries: (process.env.PATH ?? '').split(delimiter) })) ?? '';
  assert.notEqual(ffprobe, '');
});

describe('probeWithFfprobe', () => {
  const cases = [
    { name: 'a.avi', container: 'avi', args: ['-c:v', 'mpeg4', '-c:a', 'libmp3lame'], codecs: ['mpeg4', 'mp3'] },
    { name: 'b.wmv', container: 'asf', args: ['-c:v', 'wmv2', '-c:a', 'wmav2'], codecs: ['wmv2', 'wmav2'] },
    { name: 'c.flv', container: 'flv', args: ['-c:v', 'flv1', '-c:a', 'libmp3lame'], codecs: ['flv1', 'mp3'] },
    {
      name: 'd.mpg',
      container: 'mpegps',
      args: ['-f', 'vob', '-c:v', 'mpeg2video', '-c:a', 'mp2'],
      codecs: ['mpeg2video', 'mp2'],
    },
  ];
  for (const { name, container, args, codecs } of cases) {
    it(`tells what is in ${name}`, async () => {
      const path = make(name, ...args);
      const { info, endIsMeasured } = (await probe(path, { ffprobe })) as Probed;
      assert.equal(endIsMeasured, true);
      assert.equal(info.container, container);
      assert.ok(Math.abs(info.duration - 3) < 0.2, String(info.duration));
      assert.deepEqual(info.tracks.map((t) => t.codec).sort(), [...codecs].sort());
      const video = info.tracks.find((t) => t.type === 'video');
      const audio = info.tracks.find((t) => t.type === 'audio');
      assert.equal(info.videoTrackId, video!.id);
      assert.equal(video!.video?.width, 320);
      assert.equal(video!.video?.frameRate, 25);
      assert.equal(audio!.audio?.sampleRate, 44_100);
      for (const track of info.tracks) {
        assert.equal(track.config, undefined);
        assert.match(track.notCopied ?? '', /^only FFmpeg reads .*: what is in it can't be copied into HLS/);
      }
    });
  }

  it('measures the end where the container tells another', async () => {
    const path = make('e.avi', '-c:v', 'mpeg4', '-g', '5');
    const bytes = readFileSync(path);
    const cut = join(directory, 'cut.avi');
    writeFileSync(cut, bytes.subarray(0, Math.floor(bytes.length * 0.5)));
    const { info, endIsMeasured } = (await probe(cut, { ffprobe })) as Probed;
    assert.equal(endIsMeasured, true);
    assert.ok(info.duration > 0.5 && info.duration < 2.5, `${info.duration} s of 3 are left`);
  });

  it('never follows a playlist or a list of files, and knows a text file for none of its own', async () => {
    make('f.avi', '-c:v', 'mpeg4');
    const lists = {
      'concat.ffconcat': 'ffconcat version 1.0\nfile f.avi\n',
      'list.m3u8': '#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nf.avi\n#EXT-X-ENDLIST\n',
      'text.txt': 'hello\n'.repeat(1000),
    };
    for (const [name, content] of Object.entries(lists)) {
      const path = join(directory, name);
      writeFileSync(path, content);
      assert.equal(await probe(path, { ffprobe }), undefined, name);
    }
  });

  it('is given an address of the loopback reader and no file, and knows nothing when there is no ffprobe', async () => {
    const spoken = join(directory, 'spoken');
    const spy = fake('spy', `echo "$@" >> ${spoken}; exit 1`);
    const path = make('g.avi', '-c:v', 'mpeg4');
    assert.equal(await probe(path, { ffprobe: spy }), undefined);
    assert.match(
      readFileSync(spoken, 'utf8'),
      /-protocol_whitelist http,tcp .* -i http:\/\/127\.0\.0\.1:\d+\/\S{43}$/m,
    );
    assert.doesNotMatch(readFileSync(spoken, 'utf8'), /g\.avi/);
    assert.equal(await probe(path, { ffprobe: join(directory, 'absent') }), undefined);
  });

  it('ends a hanging ffprobe at its limit and on abort', async () => {
    const pidFile = join(directory, 'pid');
    const hanging = fake('hanging', `echo $$ > ${pidFile}; while :; do sleep 1000; done`);
    const path = make('h.avi', '-c:v', 'mpeg4');
    await assert.rejects(
      probe(path, { ffprobe: hanging, timeoutMs: 300 }),
      (error) => error instanceof AppError && error.code === 'probe-timeout' && error.detail.includes('h.avi'),
    );
    const pid = Number(readFileSync(pidFile, 'utf8'));
    assert.throws(() => process.kill(pid, 0), /ESRCH/);
    const controller = new AbortController();
    const waiting = probe(path, { ffprobe: hanging, signal: controller.signal });
    controller.abort(new Error('left'));
    await assert.rejects(waiting, /left/);
  });

  it('refuses answers that are no JSON or have no end', async () => {
    const garbage = fake('garbage', 'echo "{ not json"');
    const flood = fake('endless', 'exec head -c 104857600 /dev/zero');
    const path = make('i.avi', '-c:v', 'mpeg4');
    for (const command of [garbage, flood]) {
      await assert.rejects(
        probe(path, { ffprobe: command }),
        (error) => error instanceof AppError && error.code === 'media-unrecognised',
      );
    }
  });
});

describe('toMediaInfo', () => {
  it('bears any JSON', () => {
    for (const answer of [null, 1, 'x', [], {}, { streams: 1 }, { streams: [null, 1, {}] }]) {
      assert.equal(toMediaInfo(answer), undefined);
    }
    const info = toMediaInfo({ streams: [{ codec_type: 'video', start_time: 'N/A', width: {}, tags: [] }], format: 7 });
    assert.equal(info?.tracks[0]?.codec, 'unknown');
    assert.equal(info?.duration, 0);
  });

  it('takes languages, titles, chapters, rotation and leaves cover art out', () => {
    const info = toMediaInfo({
      format: { format_name: 'avi', duration: '10.5' },
      streams: [
        { index: 0, codec_type: 'video', codec_name: 'mjpeg', disposition: { attached_pic: 1 } },
        { index: 1, codec_type: 'video', codec_name: 'mpeg4', start_time: '0.5', side_data_list: [{ rotation: -90 }] },
        {
          index: 2,
          codec_type: 'audio',
          codec_name: 'dts',
          tags: { language: 'ger', title: 'Ton' },
          disposition: { default: 1 },
        },
      ],
      chapters: [{ start_time: '0.0', end_time: '5.0', tags: { title: 'One' } }, { start_time: 'x' }],
    });
    assert.ok(info);
    assert.deepEqual(
      info.tracks.map((t) => [t.id, t.type, t.index]),
      [
        [1, 'video', 0],
        [2, 'audio', 0],
      ],
    );
    assert.equal(info.tracks[0]?.video?.rotation, 90);
    assert.equal(info.tracks[1]?.language, 'ger');
    assert.equal(info.tracks[1]?.title, 'Ton');
    assert.equal(info.tracks[1]?.isDefault, true);
    assert.deepEqual(info.chapters, [{ startTime: 0, endTime: 5, title: 'One' }]);
    assert.equal(info.startTime, 0.5);
    assert.equal(info.duration, 10.5);
  });
});
