import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boxAt } from '../fixtures/boxes.ts';
import { plainMedia } from '../fixtures/media.ts';
import { checkMediaPlaylist, checkMultivariant } from '../fixtures/playlists.ts';
import { type FetchedRendition, fetchPresentation, type Info, startTestServer } from './harness.ts';

const PICTURE = ['-f', 'lavfi', '-i', 'testsrc2=s=192x108:r=25:d=20'];
const CODECS = ['-c:a', 'aac', '-c:v', 'libx264', '-preset', 'veryfast', '-g', '50', '-pix_fmt', 'yuv420p'];
const tone = (seconds: number): string[] => ['-f', 'lavfi', '-i', `sine=f=440:r=48000:d=${seconds}`];

test('BANDWIDTH covers what packaging adds, which is much where the media is little', async () => {
  await using server = await startTestServer();
  const source = await plainMedia('thin.mkv', [...PICTURE, ...tone(20), ...CODECS, '-crf', '40', '-b:a', '32k']);
  const id = await server.create({ source });
  const [variant] = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`)).variants;
  const { video, audio } = await fetchPresentation(server, id);
  const renditions = [video, ...audio] as FetchedRendition[];
  // The last segment is shorter than half the target duration: no peak (RFC 8216, 4.1).
  const rates = (video as FetchedRendition).playlist.segments.slice(0, -1).map(({ duration }, n) => {
    const bytes = renditions.reduce((sum, { segments }) => sum + (segments[n] as Uint8Array).length, 0);
    return (bytes * 8) / duration;
  });
  const peak = Math.max(...rates);
  assert.ok((variant?.bandwidth as number) >= peak, `BANDWIDTH ${variant?.bandwidth}, real ${peak}`);
});

for (const codec of ['flac', 'ac3'] as const) {
  test(`BANDWIDTH of a re-encoded picture covers copied ${codec} whose rate the container does not tell`, async () => {
    await using server = await startTestServer();
    const sound = ['-f', 'lavfi', '-i', 'anoisesrc=r=48000:d=20:a=0.5', '-ac', '2'];
    const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=25:d=20'];
    const kind = ['-c:v', 'libx264', '-preset', 'veryfast', '-g', '50', '-c:a', codec, '-b:a', '640k'];
    const source = await plainMedia(`loud-${codec}.mkv`, [...picture, ...sound, ...kind]);
    const id = await server.create({ source });
    const { variants } = checkMultivariant(await server.text(`/sessions/${id}/stream.m3u8`));
    const root = `/sessions/${id}/audio-0`;
    const { segments } = checkMediaPlaylist(await server.text(`${root}/playlist.m3u8`));
    const { uri, duration } = segments[1] as { uri: string; duration: number };
    const rate = ((await server.bytes(`${root}/${uri}`)).length * 8) / duration;
    const average = (codecs: RegExp): number =>
      variants.find(({ uri, codecs: own = '' }) => uri.startsWith('360p') && codecs.test(own))?.averageBandwidth ?? 0;
    // The picture is the same beside AAC of 160 kb/s. Packaging is not counted.
    const copied = average(/,(fLaC|ac-3)$/) - (average(/,mp4a/) - 160_000);
    assert.ok(copied >= rate * 0.95, `declared ${copied}, real ${rate}`);
  });
}

test('a slice that begins after the end of the audio has no audio', async () => {
  await using server = await startTestServer();
  const id = await server.create({ source: await plainMedia('uneven.mkv', [...PICTURE, ...tone(7), ...CODECS]) });
  const { variants, renditions } = checkMultivariant(await server.text(`/sessions/${id}/stream?seek=19`));
  assert.deepEqual(renditions, []);
  for (const { uri } of variants) assert.match(uri, /^(original|\d+p)\//);
  assert.match(variants[0]?.codecs as string, /^avc1\.[0-9A-F]{6}$/);
  const uri = variants[0]?.uri as string;
  const { segments } = checkMediaPlaylist(await server.text(`/sessions/${id}/${uri}`));
  await server.bytes(`/sessions/${id}/original/${segments[0]?.uri}`);
});

test('FLAC of 24 bits says so in its sample entry, without which Chromium refuses it', async () => {
  await using server = await startTestServer();
  const flac = ['-c:a', 'flac', '-sample_fmt', 's32', '-bits_per_raw_sample', '24'];
  const source = await plainMedia('deep.mkv', [...PICTURE, ...tone(20), ...CODECS, ...flac]);
  const { audio } = await fetchPresentation(server, await server.create({ source }));
  const init = Buffer.from((audio[0] as FetchedRendition).init);
  const stsd = boxAt(init, 'moov/trak/mdia/minf/stbl/stsd');
  // After the version and the number of entries: size, type, 16 bytes, channels.
  assert.equal(init.toString('latin1', stsd.content + 12, stsd.content + 16), 'fLaC');
  assert.equal(init.readUInt16BE(stsd.content + 34), 24);
});

test('Matroska: a first key frame of any size, and sound that begins late, are found and copied', async () => {
  await using server = await startTestServer({ PATH: '/nonexistent' });
  const noise = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25,noise=alls=30:allf=t'];
  const vp9 = [
    ...noise,
    '-t',
    '4',
    '-c:v',
    'libvpx-vp9',
    '-deadline',
    'realtime',
    '-cpu-used',
    '8',
    '-b:v',
    '8M',
    '-f',
    'webm',
  ];
  const late = [
    ...PICTURE,
    '-itsoffset',
    '9.5',
    ...tone(12),
    '-c:v',
    'libx264',
    '-preset',
    'ultrafast',
    '-c:a',
    'ac3',
    '-f',
    'matroska',
  ];
  for (const source of [await plainMedia('large-key.webm', vp9), await plainMedia('late-ac3.mkv', late)]) {
    const id = await server.create({ source });
    const { body } = await server.json<Info>(`/sessions/${id}`);
    for (const { codec, delivery, reason } of body.availableStreams ?? [])
      assert.equal(delivery, 'copied', `${codec}: ${reason}`);
  }
});
