import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { MediaReader } from '../types.ts';
import { isMatroska, openMatroska } from './reader.ts';
import {
  ffmpeg,
  ffmpegPiped,
  gridCuts,
  keyCuts,
  load,
  type MemorySource,
  memorySource,
  type ProbedPacket,
  probePackets,
  readCuts,
  scarceSource,
} from './testing.ts';

const { signal } = new AbortController();
let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'matroska-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const VIDEO = '-f lavfi -i testsrc2=s=320x180:r=24000/1001:d=13';
const TONE = '-f lavfi -i sine=f=440:r=48000:d=13';
const TONE44 = '-f lavfi -i sine=f=880:r=44100:d=13';
const X264 = '-c:v libx264 -preset ultrafast -bf 3 -g 48';

async function make(name: string, args: string): Promise<string> {
  const path = join(folder, name);
  await ffmpeg(`${args} ${path}`);
  return path;
}

/** Every packet of every track, once, as ffprobe sees it. Audio times may be off by the tick that snapping mends. */
function assertSame(actual: readonly ProbedPacket[], expected: readonly ProbedPacket[], tolerance: number): void {
  assert.equal(actual.length, expected.length, 'number of packets');
  for (const [i, packet] of actual.entries()) {
    const other = expected[i] as ProbedPacket;
    assert.deepEqual({ ...packet, pts: 0 }, { ...other, pts: 0 }, `packet ${i}`);
    assert.ok(
      Math.abs(packet.pts - other.pts) <= tolerance,
      `time of packet ${i}: ${packet.pts}, ffprobe ${other.pts}`,
    );
  }
}

async function assertCuts(reader: MediaReader, probed: ProbedPacket[][], group = 1): Promise<void> {
  const cuts = keyCuts(reader, group);
  for (const track of reader.info.tracks) {
    const expected = probed[track.id - 1] ?? [];
    const { packets, nextStarts, cuts: parts } = await readCuts(reader, track.id, cuts, group);
    assertSame(packets, expected, track.type === 'video' ? 1e-6 : 0.0011);
    if (track.type !== 'video') continue;
    for (const [i, cut] of parts.entries()) {
      assert.equal(cut[0]?.key, true, `cut ${i} starts with a key frame`);
      const next = parts
        .slice(i + 1)
        .flat()
        .map((packet) => packet.pts);
      if (next.length === 0) assert.equal(nextStarts[i], undefined);
      else assert.equal(nextStarts[i], Math.min(...next), `where cut ${i + 1} starts`);
    }
  }
}

const KINDS: Record<string, [string, string]> = {
  'x264 with B-frames and two AAC tracks': [
    'bframes.mkv',
    `${VIDEO} ${TONE} ${TONE44} -map 0 -map 1 -map 2 ${X264} -c:a aac -ac 2`,
  ],
  'x265 with open groups': [
    'open.mkv',
    `${VIDEO} ${TONE} -c:v libx265 -preset ultrafast -x265-params keyint=24:min-keyint=24:open-gop=1:bframes=3:scenecut=0:log-level=none -c:a ac3`,
  ],
  'a start time of 5 s': ['offset.mkv', `${VIDEO} ${TONE} ${X264} -c:a aac -output_ts_offset 5`],
  'a variable frame rate': [
    'vfr.mkv',
    `${VIDEO} ${TONE} -vf select=not(mod(n\\,5))+gt(mod(n\\,7)\\,3) -vsync vfr ${X264} -c:a libmp3lame`,
  ],
  'VP9 and Opus in WebM': [
    'vp9.webm',
    `${VIDEO} ${TONE} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 40 -c:a libopus`,
  ],
  'FLAC and E-AC-3': ['flac.mkv', `${VIDEO} ${TONE} ${TONE} -map 0 -map 1 -map 2 ${X264} -c:a:0 flac -c:a:1 eac3`],
  'small clusters': ['clusters.mkv', `${VIDEO} ${TONE} ${X264} -c:a aac -cluster_time_limit 300`],
};

describe('cuts by key frames give every packet once, as ffprobe sees it', () => {
  for (const [title, [name, args]] of Object.entries(KINDS)) {
    for (const latency of ['local', 'remote', 'scarce'] as const) {
      it(`${title}, ${latency}`, async () => {
        const path = latency === 'local' ? await make(name, args) : join(folder, name);
        const probed = await probePackets(path);
        const bytes = await load(path);
        const source = latency === 'scarce' ? scarceSource(bytes, 16 * 1024) : memorySource(bytes, latency);
        await using reader = await openMatroska(source, signal);
        const keys = (probed[0] ?? []).filter((packet) => packet.key).map((packet) => packet.pts);
        assert.deepEqual([...(reader.keyframes?.times ?? [])], keys);
        await assertCuts(reader, probed, 1);
        await assertCuts(reader, probed, 3);
      });
    }
  }

  it('audio alone', async () => {
    const path = await make('audio.mka', `${TONE} -c:a aac`);
    const probed = await probePackets(path);
    await using reader = await openMatroska(memorySource(await load(path)), signal);
    assert.equal(reader.info.videoTrackId, undefined);
    await assertCuts(reader, probed);
  });
});

describe('key frames', () => {
  it('starts count leading pictures of open groups, and closed groups are not looked at', async () => {
    await using open = await openMatroska(memorySource(await load(join(folder, 'open.mkv'))), signal);
    const { times, starts } = open.keyframes ?? assert.fail('no index');
    const probed = (await probePackets(join(folder, 'open.mkv')))[0] ?? [];
    const expected: number[] = [];
    for (const packet of probed) {
      if (packet.key) expected.push(packet.pts);
      else expected.push(Math.min(expected.pop() ?? 0, packet.pts));
    }
    assert.deepEqual([...starts], expected);
    assert.ok(starts.some((start, i) => start < (times[i] ?? 0)));

    const source = memorySource(await load(join(folder, 'bframes.mkv')));
    await using closed = await openMatroska(source, signal);
    assert.deepEqual(closed.keyframes?.starts, closed.keyframes?.times);
    assert.ok(source.reads.length <= 10, `${source.reads.length} reads`);
  });
});

describe('reads of a remote source', () => {
  it('at most three to open and one for a segment', async () => {
    // Above the sizes that one read takes anyway.
    const path = await make(
      'large.mkv',
      `-f lavfi -i testsrc2=s=1280x720:r=24:d=30 ${TONE.replace('13', '30')} -c:v libx264 -preset ultrafast -bf 2 -b:v 9M -minrate 9M -maxrate 9M -bufsize 9M -nal-hrd cbr -g 48 -c:a aac`,
    );
    const source = memorySource(await load(path), 'remote');
    await using reader = await openMatroska(source, signal);
    assert.ok(source.reads.length <= 3, JSON.stringify(source.reads));
    const cuts = keyCuts(reader, 3);
    for (const cut of cuts) {
      const asked: [number, number][][] = [];
      for (const track of reader.info.tracks) {
        source.reads.length = 0;
        using batch = await reader.read(track.id, cut, signal);
        assert.ok(batch.packets.length > 0);
        asked.push([...source.reads]);
      }
      assert.equal(asked[0]?.length, 1, JSON.stringify(asked));
      assert.deepEqual(asked[1], asked[0]);
    }
  });
});

describe('reads of a source whose bytes are scarce', () => {
  it('nothing of a piece in which nothing of the segment lies', async () => {
    const bytes = await load(join(folder, 'large.mkv'));
    const piece = 32 * 1024;
    /** Pieces that were read for all segments. */
    const read = async (source: MemorySource): Promise<number> => {
      await using reader = await openMatroska(source, signal);
      let count = 0;
      for (const track of reader.info.tracks)
        for (const cut of keyCuts(reader)) {
          source.reads.length = 0;
          using batch = await reader.read(track.id, cut, signal);
          assert.ok(batch.packets.length > 0);
          const start = Math.floor(Math.min(...source.reads.map(([offset]) => offset)) / piece);
          count += Math.ceil(Math.max(...source.reads.map(([offset, length]) => offset + length)) / piece) - start;
        }
      return count;
    };
    const whole = scarceSource(bytes, piece);
    const { boundaryAfter, ...blind } = whole;
    assert.ok(boundaryAfter);
    assert.ok((await read(scarceSource(bytes, piece))) < (await read(blind)));
  });
});

describe('without an index', () => {
  it('unknown sizes: grid cuts before the scan, the scan, and the same grid cuts after it', async () => {
    const bytes = await ffmpegPiped(`${VIDEO} ${TONE} ${X264} -c:a aac -f matroska`);
    const path = join(folder, 'piped.mkv');
    await writeFile(path, bytes);
    const probed = await probePackets(path);
    await using reader = await openMatroska(memorySource(bytes), signal);
    assert.equal(reader.keyframes, undefined);
    assert.ok(Math.abs(reader.info.duration - 13) < 0.1, `${reader.info.duration}`);
    const cuts = gridCuts(reader.info.startTime, reader.info.duration, 3);
    const earlier = await Promise.all(reader.info.tracks.map((track) => readCuts(reader, track.id, cuts, 7)));
    for (const [i, { packets }] of earlier.entries()) assertSame(packets, probed[i] ?? [], i === 0 ? 1e-6 : 0.0011);
    const index = await reader.scan(signal);
    const keys = (probed[0] ?? []).filter((packet) => packet.key).map((packet) => packet.pts);
    assert.deepEqual([...index.times], keys);
    await assertCuts(reader, probed, 2);
    const later = await Promise.all(reader.info.tracks.map((track) => readCuts(reader, track.id, cuts, 8)));
    assert.deepEqual(later, earlier);
  });

  it('live WebM', async () => {
    const path = await make(
      'live.webm',
      `${VIDEO} ${TONE} -c:v libvpx -deadline realtime -g 30 -c:a libopus -f webm -live 1`,
    );
    const probed = await probePackets(path);
    await using reader = await openMatroska(memorySource(await load(path), 'remote'), signal);
    assert.equal(reader.info.container, 'webm');
    await reader.scan(signal);
    await assertCuts(reader, probed, 2);
  });

  it('a truncated file: everything whole before the end', async () => {
    const whole = await load(join(folder, 'bframes.mkv'));
    const bytes = whole.slice(0, Math.floor(whole.length * 0.61));
    const path = join(folder, 'truncated.mkv');
    await writeFile(path, bytes);
    const probed = await probePackets(path);
    const source = memorySource(bytes);
    await using reader = await openMatroska(source, signal);
    assert.equal(reader.keyframes, undefined);
    await reader.scan(signal);
    // ffprobe hands out the broken last packet too.
    const cuts = keyCuts(reader);
    for (const track of reader.info.tracks) {
      const { packets } = await readCuts(reader, track.id, cuts);
      const expected = probed[track.id - 1] ?? [];
      assert.ok(packets.length >= expected.length - 1, `${packets.length} of ${expected.length}`);
      assertSame(packets, expected.slice(0, packets.length), 0.0011);
    }
  });

  it('a damaged stretch is passed over', async () => {
    const bytes = await load(join(folder, 'clusters.mkv'));
    bytes.fill(0x55, Math.floor(bytes.length * 0.5), Math.floor(bytes.length * 0.52));
    await using reader = await openMatroska(memorySource(bytes), signal);
    const { packets } = await readCuts(reader, 1, keyCuts(reader));
    const probed = (await probePackets(join(folder, 'clusters.mkv')))[0] ?? [];
    const found = new Set(packets.map((packet) => packet.crc));
    const lost = probed.filter((packet) => !found.has(packet.crc));
    assert.ok(lost.length > 0 && lost.length < probed.length * 0.1, `${lost.length} lost`);
    assert.equal(new Set(packets.map((packet) => packet.pts)).size, packets.length);
  });
});

describe('grid cuts with long groups', () => {
  it('begin with a key frame where there is one, and partition the frames', async () => {
    const bytes = await ffmpegPiped(
      `${VIDEO} ${TONE} -c:v libx264 -preset ultrafast -bf 3 -g 150 -c:a ac3 -f matroska`,
    );
    const path = join(folder, 'long.mkv');
    await writeFile(path, bytes);
    const probed = await probePackets(path);
    for (const latency of ['local', 'remote'] as const) {
      await using reader = await openMatroska(memorySource(bytes, latency), signal);
      for (const length of [1, 2.5, 4, 6.24, 100]) {
        const cuts = gridCuts(reader.info.startTime, reader.info.duration, length);
        const video = await readCuts(reader, 1, cuts);
        assertSame(video.packets, probed[0] ?? [], 1e-6);
        for (const [i, part] of video.cuts.entries()) {
          const { from, to } = cuts[i] ?? assert.fail();
          const key = part.findIndex((packet) => packet.key && packet.pts >= from && packet.pts < to);
          if (key >= 0) assert.equal(key, 0, `cut ${i} of ${length} s`);
          const rest = video.cuts.slice(i + 1).flat();
          if (rest.length === 0) continue;
          assert.equal(video.nextStarts[i], Math.min(...rest.slice(0, 20).map((packet) => packet.pts)));
        }
        assertSame((await readCuts(reader, 2, cuts)).packets, probed[1] ?? [], 0.0011);
      }
    }
  });
});

describe('a second video track', () => {
  it('is cut by time and gives every packet once', async () => {
    const path = await make('two.mkv', `${VIDEO} ${VIDEO} -map 0 -map 1 ${X264} -g:v:1 77`);
    const probed = await probePackets(path);
    await using reader = await openMatroska(memorySource(await load(path)), signal);
    for (const group of [1, 2]) {
      for (const track of [1, 2]) {
        const { packets } = await readCuts(reader, track, keyCuts(reader, group));
        assertSame(packets, probed[track - 1] ?? [], 1e-6);
      }
    }
  });
});

describe('metadata that FFmpeg writes', () => {
  it('subtitles in cuts, chapters, attachments, titles; the same over HTTP', async () => {
    const lines = Array.from({ length: 24 }, (_, i) => {
      const time = (ms: number): string =>
        `00:00:${String(Math.floor(ms / 1000)).padStart(2, '0')},${String(ms % 1000).padStart(3, '0')}`;
      return `${i + 1}\n${time(i * 500 + 3)} --> ${time(i * 500 + 400)}\nline ${i}\n`;
    });
    await writeFile(join(folder, 'lines.srt'), lines.join('\n'));
    await writeFile(
      join(folder, 'chapters.txt'),
      ';FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=5000\ntitle=Eins\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=5000\nEND=13000\ntitle=Zwei\n',
    );
    const path = await make(
      'full.mkv',
      `${VIDEO} ${TONE} -i ${join(folder, 'lines.srt')} -i ${join(folder, 'chapters.txt')} -map 0 -map 1 -map 2 -map_metadata 3 -map_chapters 3 ${X264} -c:a aac -c:s srt -attach ${join(folder, 'lines.srt')} -metadata:s:3 mimetype=text/plain -metadata:s:a:0 language=ger -metadata:s:a:0 title=Ton -disposition:s:0 forced`,
    );
    const probed = await probePackets(path);
    const bytes = await load(path);
    for (const latency of ['local', 'remote'] as const) {
      await using reader = await openMatroska(memorySource(bytes, latency), signal);
      await assertCuts(reader, probed);
      const { info } = reader;
      assert.deepEqual(info.chapters, [
        { startTime: 0, endTime: 5, title: 'Eins' },
        { startTime: 5, endTime: 13, title: 'Zwei' },
      ]);
      const [attachment] = info.attachments;
      assert.equal(attachment?.name, 'lines.srt');
      assert.equal(attachment.mimeType, 'text/plain');
      const attached = bytes.subarray(attachment.offset, attachment.offset + attachment.size);
      assert.equal(new TextDecoder().decode(attached), lines.join('\n'));
      const [video, audio, subtitle] = info.tracks;
      assert.deepEqual([audio?.language, audio?.title, video?.language], ['ger', 'Ton', undefined]);
      assert.deepEqual(
        [subtitle?.codec, subtitle?.isForced, subtitle?.type, subtitle?.index],
        ['subrip', true, 'subtitle', 0],
      );
      assert.equal(video?.video?.frameRate, 24000 / 1001);
      const last = Math.max(...(probed[0] ?? []).map((packet) => packet.pts));
      assert.ok(Math.abs((video?.endTime ?? 0) - last - 1001 / 24000) < 0.003);
    }
  });

  it('an index in front of a truncated file: what lies beyond the end is left out', async () => {
    const path = await make('front.mkv', `${VIDEO} ${TONE} ${X264} -c:a aac -reserve_index_space 8192`);
    const whole = await load(path);
    const bytes = whole.slice(0, Math.floor(whole.length * 0.7));
    const full = (await probePackets(path))[0] ?? [];
    await using reader = await openMatroska(memorySource(bytes), signal);
    assert.ok(reader.keyframes !== undefined && reader.info.duration < 10, `${reader.info.duration}`);
    const { packets } = await readCuts(reader, 1, keyCuts(reader));
    assert.ok(packets.length > full.length * 0.5);
    assertSame(packets, full.slice(0, packets.length), 1e-6);
  });
});

describe('isMatroska', () => {
  it('knows its files from others', async () => {
    assert.equal(isMatroska((await load(join(folder, 'bframes.mkv'))).subarray(0, 64)), true);
    assert.equal(isMatroska(new Uint8Array(64)), false);
    assert.equal(isMatroska(new Uint8Array(0)), false);
    assert.equal(isMatroska(new TextEncoder().encode('ftypisom and more of that')), false);
  });
});

it('subtitles that go on beyond the sound and the picture do not make the programme longer', async () => {
  const subtitles = join(folder, 'long.srt');
  await writeFile(subtitles, '1\n00:00:03,000 --> 00:00:40,000\nlong\n');
  const path = await make(
    'long-subtitle.mkv',
    `${VIDEO} ${TONE} -i ${subtitles} -map 0 -map 1 -map 2 ${X264} -c:a aac`,
  );
  await using reader = await openMatroska(memorySource(await load(path)), signal);
  assert.ok(Math.abs(reader.info.duration - 13) < 0.1, `${reader.info.duration} s`);
});
