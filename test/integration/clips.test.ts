import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type NumberedMediaOptions, numberedMedia } from '../fixtures/media.ts';
import { checkClip, firstFrameTime } from './clip-check.ts';
import { startTestServer, type TestServer } from './harness.ts';

type Method = 'smart' | 'encoded';

interface Case extends NumberedMediaOptions {
  readonly method: Method;
  /** Start and end, seconds. */
  readonly clips: readonly (readonly [number, number])[];
  readonly audioIndex?: number;
}

const h264 = { video: 'h264', audio: ['aac'], method: 'smart' } as const;

const CASES: Record<string, Case> = {
  'H.264 with B-frames and AAC in Matroska': {
    ...h264,
    container: 'mkv',
    seconds: 40,
    fps: 24,
    gop: 48,
    clips: [
      [5, 10],
      [4.3, 34.7],
      [0, 40],
      [6.021, 8.021],
    ],
  },
  'H.264 with B-frames and AAC in MP4': {
    ...h264,
    container: 'mp4',
    seconds: 40,
    fps: 24,
    gop: 48,
    clips: [
      [5, 10],
      [4.3, 34.7],
      [4, 8],
    ],
  },
  'groups of pictures of 10 s, of which the clip has a part': {
    ...h264,
    container: 'mkv',
    seconds: 32,
    gop: 250,
    clips: [[8.5, 17.1]],
  },
  '23.976 frames per second': { ...h264, container: 'mp4', seconds: 20, fps: '24000/1001', clips: [[3.3, 9.9]] },
  'no B-frames': { ...h264, container: 'mp4', seconds: 20, bFrames: 0, clips: [[3.3, 9.9]] },
  'uneven frame durations': { ...h264, container: 'mkv', seconds: 20, vfr: true, clips: [[3.3, 9.9]] },
  'start time 5 s': { ...h264, container: 'mp4', seconds: 20, startTime: 5, clips: [[3.3, 9.9]] },
  'MPEG-TS': { ...h264, container: 'ts', seconds: 20, clips: [[3.3, 9.9]] },
  'Matroska without Cues': { ...h264, container: 'mkv', seconds: 20, extraArgs: ['-live', '1'], clips: [[3.3, 15.1]] },
  'H.264 of Main profile': {
    ...h264,
    container: 'mkv',
    seconds: 20,
    extraArgs: ['-profile:v', 'main'],
    clips: [[3.3, 9.9]],
  },
  'H.264 of Baseline profile': {
    ...h264,
    container: 'mp4',
    seconds: 20,
    bFrames: 0,
    extraArgs: ['-profile:v', 'baseline'],
    clips: [[3.3, 9.9]],
  },
  'AC-3, which is encoded, beside pictures that are copied': {
    ...h264,
    container: 'mkv',
    audio: ['ac3'],
    seconds: 20,
    clips: [[3.3, 9.9]],
  },
  'the second audio track, AAC at 44.1 kHz': {
    ...h264,
    container: 'mkv',
    audio: ['aac', 'aac'],
    sampleRate: 44_100,
    seconds: 20,
    audioIndex: 1,
    clips: [[3.3, 9.9]],
  },
  'no sound': { ...h264, container: 'mp4', audio: [], seconds: 20, clips: [[3.3, 9.9]] },
  'an open group of pictures': {
    ...h264,
    container: 'mkv',
    seconds: 20,
    openGop: true,
    // From the only IDR picture on, the groups are copied, leading pictures and all.
    clips: [[0, 9.9]],
  },
  'open groups of pictures without an IDR picture': {
    ...h264,
    container: 'mp4',
    seconds: 20,
    openGop: true,
    method: 'encoded',
    clips: [[3.3, 9.9]],
  },
  'more than 30 s of open groups behind an IDR picture': {
    ...h264,
    container: 'mkv',
    seconds: 40,
    openGop: true,
    method: 'encoded',
    clips: [[0, 38]],
  },
  'interlaced H.264': {
    ...h264,
    container: 'mkv',
    seconds: 20,
    extraArgs: ['-flags', '+ilme+ildct'],
    method: 'encoded',
    clips: [[3.3, 8.3]],
  },
  HEVC: { container: 'mkv', video: 'hevc', audio: ['aac'], seconds: 20, method: 'encoded', clips: [[3.3, 8.3]] },
  'HEVC with open groups of pictures and E-AC-3 in MP4': {
    container: 'mp4',
    video: 'hevc',
    audio: ['eac3'],
    openGop: true,
    seconds: 20,
    method: 'encoded',
    clips: [[3.96, 8.1]],
  },
  'AVI, which only FFmpeg reads': {
    container: 'avi',
    video: 'mpeg4',
    audio: ['mp3'],
    seconds: 20,
    method: 'encoded',
    clips: [
      [3.3, 8.3],
      [0, 4],
      [15, 20],
    ],
  },
  'VP9 and Opus': {
    container: 'webm',
    video: 'vp9',
    audio: ['opus'],
    seconds: 14,
    method: 'encoded',
    clips: [[3.3, 8.3]],
  },
};

interface ClipAnswer {
  readonly id: string;
  readonly state: string;
  readonly method?: Method;
  readonly outputPath?: string;
}

const json = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

describe('a clip has exactly the pictures that were asked for, and their sound', () => {
  const directory = mkdtempSync(join(tmpdir(), 'raffi-clips-'));
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ RAFFI_CLIPS_DIR: directory });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const [name, options] of Object.entries(CASES)) {
    test(name, async () => {
      const source = await numberedMedia(options);
      const id = await server.create({ source });
      if (options.audioIndex !== undefined)
        await server.json(`/sessions/${id}/audio`, json({ index: options.audioIndex }));
      const offset = await firstFrameTime(server, id);
      for (const [start, end] of options.clips) {
        const { status, body } = await server.json<ClipAnswer>(`/sessions/${id}/clip`, json({ start, end, name }));
        assert.equal(status, 200, JSON.stringify(body));
        const made = (await server.json<ClipAnswer[]>('/clips')).body.find(
          ({ outputPath }) => outputPath === body.outputPath,
        );
        assert.equal(made?.method, options.method);
        await checkClip(body.outputPath as string, { ...options, start, end, offset });
      }
    });
  }

  for (const container of ['Matroska', 'MP4'])
    test(`what is copied is the packets of the source, bit by bit: ${container}`, async () => {
      const options = CASES[`H.264 with B-frames and AAC in ${container}`] as Case;
      const source = await numberedMedia(options);
      const id = await server.create({ source });
      const { body } = await server.json<ClipAnswer>(`/sessions/${id}/clip`, json({ start: 4.3, end: 34.7 }));
      const theirs = packets(source, 'v');
      const ours = packets(body.outputPath as string, 'v');
      const known = new Set(theirs);
      const first = ours.findIndex((hash) => known.has(hash));
      const from = theirs.indexOf(ours[first] as string);
      const copied = ours.slice(first).findIndex((hash, n) => hash !== theirs[from + n]);
      // From the key frame behind 4.3 s to some pictures before 34.7 s: a group has 48 pictures.
      assert.equal(from % 48, 0);
      assert.ok(first > 0 && first <= 48, `${first} packets encoded at the beginning`);
      assert.ok(copied > 48 * 13, `${copied} packets copied`);
      assert.ok(ours.length - first - copied <= 4, `${ours.length - first - copied} packets encoded at the end`);
      const sounds = packets(source, 'a');
      const heard = packets(body.outputPath as string, 'a');
      assert.ok(heard.length > 30 * 46);
      assert.ok(sounds.join().includes(heard.join()), 'its sound is a run of packets of the source');
    });

  test('between two pictures of a film there is no clip', async () => {
    const id = await server.create({
      source: await numberedMedia(CASES['H.264 with B-frames and AAC in MP4'] as Case),
    });
    for (const [start, end] of [
      [3.3, 3.31],
      [1, 1.000_000_1],
    ]) {
      const { status, body } = await server.json<{ detail: string }>(`/sessions/${id}/clip`, json({ start, end }));
      assert.equal(status, 400);
      assert.match(body.detail, /^body\/end: there is no picture/);
    }
  });

  test('nothing but clips is left in the directory', () => {
    assert.deepEqual(
      readdirSync(directory).filter((file) => !file.endsWith('.mp4')),
      [],
    );
  });
});

test('without FFmpeg, what needs no encoding is copied, and the rest says why not', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'raffi-clips-'));
  try {
    await using server = await startTestServer({ RAFFI_CLIPS_DIR: directory, PATH: '/nonexistent' });
    const options = CASES['H.264 with B-frames and AAC in MP4'] as Case;
    const id = await server.create({ source: await numberedMedia(options) });
    const offset = await firstFrameTime(server, id);
    const [start, end] = [4 + offset, 8 + offset];
    const { status, body } = await server.json<ClipAnswer>(`/sessions/${id}/clip`, json({ start, end }));
    assert.equal(status, 200, JSON.stringify(body));
    await checkClip(body.outputPath as string, { ...options, start, end, offset });
    const refused = await server.json(`/sessions/${id}/clip`, json({ start: 4.3, end: 8.3 }));
    assert.equal(refused.status, 501);
    assert.equal(refused.body.code, 'ffmpeg-missing');
    assert.deepEqual(readdirSync(directory), [body.outputPath?.slice(directory.length + 1)]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

/** A hash of each packet of the first stream of a type, in decode order. */
function packets(path: string, type: 'v' | 'a'): string[] {
  const entries = ['-show_entries', 'packet=data_hash', '-show_data_hash', 'sha256', '-of', 'csv=p=0'];
  const args = ['-v', 'error', '-ignore_editlist', '1', '-select_streams', `${type}:0`, ...entries, path];
  const own = path.endsWith('.mp4')
    ? args
    : args.filter((arg, n) => arg !== '-ignore_editlist' && args[n - 1] !== '-ignore_editlist');
  return execFileSync('ffprobe', own, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
    .trim()
    .split('\n')
    .map((line) => line.replace(/,.*$/, ''));
}
