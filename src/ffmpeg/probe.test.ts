import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError } from '../errors.ts';
import { findBinary } from './binaries.ts';
import { probeWithFfprobe } from './probe.ts';
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
      const info = await probeWithFfprobe({ ffprobe, path, label: name, signal });
      assert.ok(info);
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
        assert.match(track.notCopied ?? '', /can't be copied into HLS without FFmpeg transcoding/);
      }
    });
  }

  it('reads names with characters that mean something to FFmpeg', async () => {
    const path = make('e.avi', '-c:v', 'mpeg4');
    const odd = join(directory, 'http:%20a|b,c.avi');
    writeFileSync(odd, readFileSync(path));
    const info = await probeWithFfprobe({ ffprobe, path: odd, label: 'odd', signal });
    assert.equal(info?.container, 'avi');
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
      assert.equal(await probeWithFfprobe({ ffprobe, path, label: name, signal }), undefined, name);
    }
  });

  it('gives nothing to ffprobe when the source is no local file, and nothing when there is no ffprobe', async () => {
    const marker = join(directory, 'ran');
    const spy = fake('spy', `touch ${marker}; echo '{}'`);
    assert.equal(await probeWithFfprobe({ ffprobe: spy, path: undefined, label: 'x', signal }), undefined);
    assert.equal(existsSync(marker), false);
    const absent = join(directory, 'absent');
    assert.equal(await probeWithFfprobe({ ffprobe: absent, path: '/dev/null', label: 'x', signal }), undefined);
  });

  it('ends a hanging ffprobe at its limit and on abort', async () => {
    const pidFile = join(directory, 'pid');
    const hanging = fake('hanging', `echo $$ > ${pidFile}; while :; do sleep 1000; done`);
    const options = { ffprobe: hanging, path: '/dev/null', label: 'film.avi', signal };
    await assert.rejects(
      probeWithFfprobe({ ...options, timeoutMs: 300 }),
      (error) => error instanceof AppError && error.code === 'probe-timeout' && error.detail.includes('film.avi'),
    );
    const pid = Number(readFileSync(pidFile, 'utf8'));
    assert.throws(() => process.kill(pid, 0), /ESRCH/);
    const controller = new AbortController();
    const waiting = probeWithFfprobe({ ...options, signal: controller.signal });
    controller.abort(new Error('left'));
    await assert.rejects(waiting, /left/);
  });

  it('refuses answers that are no JSON or have no end', async () => {
    const garbage = fake('garbage', 'echo "{ not json"');
    const flood = fake('endless', 'exec head -c 104857600 /dev/zero');
    for (const command of [garbage, flood]) {
      await assert.rejects(
        probeWithFfprobe({ ffprobe: command, path: '/dev/null', label: 'film.avi', signal }),
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
