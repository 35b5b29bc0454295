import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { lackingForPictures, planPicture } from './picture.ts';

const VIDEO = { width: 1920, height: 1080, displayWidth: 1920, displayHeight: 1080, rotation: 0, hdr: 'sdr' } as const;
const ALL = new Set(['bwdif', 'zscale', 'tonemap', 'lutrgb']);
const PQ = { primaries: 9, transfer: 16, matrix: 9, fullRange: false };

/** What is done to a picture: decoded pictures are compared in test/integration/picture.test.ts. */
describe('planPicture', () => {
  test('says what is done, and nothing of what is not', () => {
    const done = (video: object, filters = ALL): readonly string[] =>
      planPicture({ video: { ...VIDEO, ...video }, codec: 'hevc', config: {} }, 0, filters).done;
    const always = 'frames that are interlaced are deinterlaced';
    assert.deepEqual(done({}), [always]);
    assert.deepEqual(done({ bitDepth: 10 }), [always, '10 bits become 8']);
    assert.deepEqual(done({ frameRate: 120 }), [always, 'one of 2 frames is kept, of 120 a second']);
    assert.deepEqual(done({ hdr: 'hdr10', colour: PQ }), [always, 'HDR10 is tone-mapped to SDR']);
    assert.deepEqual(done({ hdr: 'dolby-vision', colour: PQ }), [always, 'Dolby Vision is tone-mapped to SDR']);
    assert.deepEqual(done({ hdr: 'dolby-vision' }), [always, 'Dolby Vision is tone-mapped to SDR, in wrong colours']);
    assert.deepEqual(done({ hdr: 'hlg' }, new Set()), ['HLG is cut down without tone mapping to SDR']);
    assert.deepEqual(done({ width: 1440 }), [always, 'made square pixels of 1440x1080 shown at 1920x1080']);
  });

  test('keeps rates up to 60 frames a second, and divides others evenly', () => {
    const rate = (frameRate?: number): number | undefined =>
      planPicture({ video: { ...VIDEO, ...(frameRate && { frameRate }) }, codec: 'h264' }, 0, ALL).frameRate;
    assert.deepEqual([undefined, 24, 59.94, 60, 100, 120, 144, 240].map(rate), [
      undefined,
      24,
      59.94,
      60,
      50,
      60,
      48,
      60,
    ]);
  });

  test('what FFmpeg lacks is a sentence each', () => {
    assert.deepEqual(lackingForPictures(ALL), []);
    assert.equal(lackingForPictures(new Set(['lutrgb', 'yadif'])).length, 1);
    assert.equal(lackingForPictures(new Set()).length, 2);
  });
});
