import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Capabilities, describeCapabilities, detectCapabilities } from './capabilities.ts';
import { contentOf, folder, never, pathEntries, script } from './test-processes.ts';

const directory = folder();
const nowhere = { pathEntries: [] };
let count = 0;

/** What a fake FFmpeg answers; whatever is not told is as in a good one. */
interface Answers {
  readonly version?: string;
  readonly encoders?: string;
  readonly filters?: string;
  readonly muxers?: string;
  readonly demuxers?: string;
}

const VIDEO_FILTERS = [
  'alimiter',
  'apad',
  'asetpts',
  'atrim',
  'ebur128',
  'ametadata',
  'volume',
  'settb',
  'setsar',
  'setparams',
  'select',
  'transpose',
  'hflip',
  'vflip',
  'bwdif',
  'zscale',
  'tonemap',
];

const GOOD: Required<Answers> = {
  version: `echo 'ffmpeg version 7.1.2-static Copyright (c) 2000-2025 the FFmpeg developers'; echo '  libavutil      59. 39.100 / 59. 39.100'`,
  encoders: `cat <<'X'
Encoders:
 V..... = Video
 ------
 V....D libx264              libx264 H.264 / AVC (codec h264)
 A....D aac                  AAC (Advanced Audio Coding)
X`,
  filters: `cat <<'X'
Filters:
  T.. = Timeline support
  | = Source or sink filter
 .. aresample         A->A       Resample audio data.
 ... format            V->V       Convert the input video.
 ..C scale             V->V       Scale the input video size.
${VIDEO_FILTERS.map((name) => ` TSC ${name.padEnd(17)} V->V       Something.`).join('\n')}
 TSC overlay           VV->V      Overlay a video source on top of the input.
 ... subtitles         V->V       Render text subtitles onto input video using the libass library.
 TSC trim              V->V       Pick one continuous section from the input, drop the rest.
 ... abuffer           |->A       Buffer audio frames.
X`,
  muxers: `printf 'Formats:\\n D.. = Demuxing supported\\n .E. = Muxing supported\\n ..d = Is a device\\n ---\\n  E  adts            ADTS AAC\\n  E  mp4             MP4\\n'`,
  demuxers: `cat <<'X'
File formats:
 D. = Demuxing supported
 .E = Muxing supported
 --
 D  matroska,webm   Matroska / WebM
 D d video4linux2,v4l2 Video4Linux2 device grab
 D  mov,mp4,m4a,3gp,3g2,mj2 QuickTime / MOV
X`,
};

/** A shell script that answers as FFmpeg does. */
function fake(answers: Answers = {}): string {
  const all = { ...GOOD, ...answers };
  const cases = Object.entries(all).map(([question, body]) => `*' -${question} ') ${body}\n;;`);
  return script(join(directory, `ffmpeg-${count++}`), `case " $* " in\n${cases.join('\n')}\n*) exit 9;;\nesac`);
}

const detect = (ffmpeg: string | undefined, ffprobe?: string): Promise<Capabilities> =>
  detectCapabilities(
    {
      ffmpeg: ffmpeg === undefined ? nowhere : { ...nowhere, configured: ffmpeg },
      ffprobe: ffprobe === undefined ? nowhere : { ...nowhere, configured: ffprobe },
    },
    never,
  );
const NO_PROBE = 'ffprobe is not installed. Containers that only FFmpeg knows are not described.';

describe('detectCapabilities', () => {
  it('knows the real FFmpeg', async () => {
    const found = await detectCapabilities({ ffmpeg: { pathEntries }, ffprobe: { pathEntries } }, never);
    assert.deepEqual(found.missing, []);
    assert.ok(found.canTranscodeVideo && found.canTranscodeAudio);
    assert.ok(found.canBurnInPictures && found.canBurnInText);
    assert.match(found.ffmpeg?.version ?? '', /\d/);
    assert.match(found.ffprobe?.path ?? '', /^\/.*ffprobe$/);
    for (const name of ['libx264', 'aac', 'mpeg4']) assert.ok(found.encoders.has(name), name);
    for (const name of ['scale', 'aresample', 'color', 'overlay']) assert.ok(found.filters.has(name), name);
    for (const name of ['mp4', 'adts', 'webvtt']) assert.ok(found.muxers.has(name), name);
    for (const name of ['mov', 'mp4', 'matroska', 'avi']) assert.ok(found.demuxers.has(name), name);
    for (const names of [found.encoders, found.filters, found.muxers, found.demuxers]) {
      assert.ok(names.size > 100);
      for (const name of names) assert.match(name, /^[\w-]+$/);
    }
    assert.equal(
      describeCapabilities(found),
      `Found ffmpeg ${found.ffmpeg?.version} and ffprobe ${found.ffprobe?.version}.`,
    );
  });

  it('reads the lists of other versions, and no more than the names in them', async () => {
    const path = fake();
    const found = await detect(path);
    assert.deepEqual(found.ffmpeg, { path, version: '7.1.2-static' });
    assert.deepEqual([...found.encoders], ['libx264', 'aac']);
    assert.deepEqual(
      [...found.filters],
      ['aresample', 'format', 'scale', ...VIDEO_FILTERS, 'overlay', 'subtitles', 'trim', 'abuffer'],
    );
    assert.deepEqual([...found.muxers], ['adts', 'mp4']);
    assert.deepEqual(
      [...found.demuxers],
      ['matroska', 'webm', 'video4linux2', 'v4l2', 'mov', 'mp4', 'm4a', '3gp', '3g2', 'mj2'],
    );
    assert.ok(found.canTranscodeVideo && found.canTranscodeAudio);
    assert.deepEqual(found.missing, [NO_PROBE]);
    assert.equal(describeCapabilities(found), `Found ffmpeg 7.1.2-static. ${NO_PROBE}`);
  });

  it('says when there is none', async () => {
    const found = await detect(undefined);
    assert.equal(found.ffmpeg, undefined);
    assert.equal(found.canTranscodeVideo || found.canTranscodeAudio, false);
    assert.deepEqual(found.missing, [
      'ffmpeg is not installed. What cannot be copied does not play. It belongs on PATH or beside the executable, or its path into RAFFI_FFMPEG_BIN.',
      NO_PROBE,
    ]);
    assert.equal(describeCapabilities(found), found.missing.join(' '));
  });

  it('says what is lacking, for video and audio apart', async () => {
    const path = fake({ encoders: `echo ' A....D aac                  AAC'`, demuxers: ':' });
    const found = await detect(path);
    assert.equal(found.canTranscodeVideo, false);
    assert.equal(found.canTranscodeAudio, true);
    assert.deepEqual(found.missing, [
      `${path} lacks what transcoding video needs: the encoder libx264, the demuxer mp4, the demuxer matroska.`,
      NO_PROBE,
    ]);
  });

  it('says that a filter is lacking which only some sources need', async () => {
    for (const [name, kind] of [
      ['settb', 'video'],
      ['apad', 'audio'],
    ] as const) {
      const path = fake({ filters: GOOD.filters.replace(new RegExp(`.* ${name} .*\n`), '') });
      const found = await detect(path);
      assert.deepEqual([found.canTranscodeVideo, found.canTranscodeAudio], [kind !== 'video', kind !== 'audio']);
      assert.deepEqual(found.missing, [`${path} lacks what transcoding ${kind} needs: the filter ${name}.`, NO_PROBE]);
    }
  });

  it('says in one line what burning in lacks', async () => {
    const names = ['scale', 'format', 'trim', 'aresample', ...VIDEO_FILTERS];
    const lines = names.map((name) => ` ... ${name} V->V x`);
    const path = fake({ filters: `printf '${[...lines, ' TSC overlay VV->V x', ''].join('\\n')}'` });
    const found = await detect(path);
    assert.ok(found.canTranscodeVideo && found.canBurnInPictures);
    assert.equal(found.canBurnInText, false);
    const lacks = `${path} lacks what burning in subtitles needs: the filter subtitles (libass), for text.`;
    assert.deepEqual(found.missing, [lacks, NO_PROBE]);
    const neither = await detect(fake({ filters: `printf '${[...lines, ''].join('\\n')}'` }));
    assert.equal(neither.canBurnInPictures || neither.canBurnInText, false);
  });

  const versions: readonly (readonly [version: string, library: string, good: boolean])[] = [
    ['5.1', '57. 28.100', true],
    ['5.1.9-0+deb12u1', '57. 28.100', true],
    ['5.0.3', '57. 17.100', false],
    ['4.4.2-0ubuntu0.22.04.1', '56. 70.100', false],
    ['n8.0.1', '60.  8.100', true],
    ['10.0', '70.  0.100', true],
    ['N-119000-gabcdef0', '60. 20.100', true],
    ['N-100000-gabcdef0', '56. 60.100', false],
    ['git-2025-01-01-abcdef', '59. 50.100', true],
    ['2024-07-01-git-abc', '59. 24.100', true],
    ['unknown', 'nothing', false],
  ];
  for (const [version, library, good] of versions) {
    it(`${good ? 'takes' : 'refuses'} version ${version}`, async () => {
      const path = fake({
        version: `echo 'ffmpeg version ${version} Copyright'; echo '  libavutil      ${library} / 0'`,
      });
      const found = await detect(path);
      assert.equal(found.ffmpeg?.version, good ? version : undefined);
      assert.equal(found.canTranscodeVideo, good);
      if (!good) assert.match(found.missing[0] as string, new RegExp(`^${path} cannot be used: .*5\\.1 is the oldest`));
    });
  }

  const broken: readonly (readonly [what: string, body: string, words: RegExp])[] = [
    ['ends with an error', 'exit 3', /it ends with exit code 3/],
    ['crashes', 'kill -SEGV $$', /it was ended by SIGSEGV/],
    ['prints garbage', 'head -c 5000 /dev/urandom', /does not say which version/],
    ['is another program', 'echo "avconv version 12"', /does not say which version/],
    ['prints without end', 'exec cat /dev/zero', /its answer has no end/],
    ['hangs', 'exec sleep 1000', /does not answer within 5 s/],
  ];
  it('tells of a configured FFmpeg that is not there', async () => {
    const folder = mkdtempSync(join(directory, 'path-'));
    symlinkSync(fake(), join(folder, 'ffmpeg'));
    for (const configured of [join(folder, 'none'), 'none', './ffmpeg']) {
      const { ffmpeg, missing } = await detectCapabilities(
        { ffmpeg: { configured, pathEntries: [folder] }, ffprobe: nowhere },
        never,
      );
      assert.equal(ffmpeg?.path, join(folder, 'ffmpeg'));
      assert.equal(
        missing[0],
        `${configured}, as RAFFI_FFMPEG_BIN says, is no program that can be run. ${join(folder, 'ffmpeg')} is used instead.`,
      );
    }
  });

  it('passes over a configured FFmpeg that does not work', async () => {
    const configured = fake({ version: 'exit 3' });
    const folder = mkdtempSync(join(directory, 'path-'));
    const works = join(folder, 'ffmpeg');
    symlinkSync(fake(), works);
    const places = { configured, pathEntries: [folder] };
    const found = await detectCapabilities({ ffmpeg: places, ffprobe: nowhere }, never);
    assert.equal(found.ffmpeg?.path, works);
    assert.ok(found.canTranscodeVideo);
    assert.match(found.missing[0] as string, /cannot be used: it ends with exit code 3.* is used instead\.$/);
  });

  for (const [what, version, words] of broken) {
    it(`does without an FFmpeg that ${what}`, async () => {
      const path = fake({ version });
      const found = await detect(path, path);
      assert.equal(found.ffmpeg ?? found.ffprobe, undefined);
      assert.equal(found.missing.length, 2);
      for (const sentence of found.missing) {
        assert.ok(sentence.startsWith(`${path} cannot be used: `), sentence);
        assert.match(sentence, words);
      }
    });
  }

  it('says which list did not come', async () => {
    const path = fake({ muxers: 'exit 4' });
    const found = await detect(path);
    assert.deepEqual(found.missing.slice(0, 1), [`${path} cannot list its muxers: it ends with exit code 4.`]);
    assert.equal(found.canTranscodeVideo || found.canTranscodeAudio, false);
  });

  it('does without a file that cannot be run', async () => {
    const nothing = join(directory, 'a-folder');
    mkdirSync(nothing);
    const text = join(directory, 'text');
    writeFileSync(text, 'no program\0at all', { mode: 0o755 });
    const found = await detect(text, nothing);
    assert.match(found.missing[0] as string, /cannot be used/);
    assert.match(found.missing[1] as string, /a-folder, as RAFFI_FFPROBE_BIN says, is no program that can be run\. /);
  });

  it('obeys the signal', async () => {
    const controller = new AbortController();
    const places = { ...nowhere, configured: fake({ version: 'exec sleep 1000' }) };
    const detecting = detectCapabilities({ ffmpeg: places, ffprobe: nowhere }, controller.signal);
    controller.abort(new Error('enough'));
    await assert.rejects(detecting, /enough/);
  });

  it('has ended all that it started when it gives up', async () => {
    const controller = new AbortController();
    const started = (name: string): string => `echo $$ > "${join(directory, name)}"`;
    const quick = fake({ version: `${started('quick')}; exec sleep 1000` });
    const deaf = fake({ version: `trap '' TERM; ${started('deaf')}; exec sleep 1000` });
    const detecting = detectCapabilities(
      { ffmpeg: { ...nowhere, configured: quick }, ffprobe: { ...nowhere, configured: deaf } },
      controller.signal,
    );
    const pids = await Promise.all(
      ['quick', 'deaf'].map(async (name) => Number(await contentOf(join(directory, name)))),
    );
    controller.abort(new Error('enough'));
    await assert.rejects(detecting, /enough/);
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });
});
