/**
 * Makes the films of the benchmarks in `.cache/bench/` (or the directory given as argument): `film.mkv`, two hours of
 * 1080p H.264 (B-frames, 5 Mb/s, key frames 2 to 4 s apart, 24 fps) with AAC, Cues at the end, and `film.mp4`, the same
 * packets with `moov` at the end. Needs FFmpeg with libx264, about 10 GB of disk and a few minutes; does nothing for what is already there.
 *
 * Only 72 s are encoded: 72 s hold whole numbers of video frames (1,728), of AAC frames (3,375) and of milliseconds, so
 * that stream copies of the clip join without a seam. The audio is encoded in one piece, for each AAC encode begins with priming.
 */
import { spawn } from 'node:child_process';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const FFMPEG = process.env.RAFFI_FFMPEG_BIN || 'ffmpeg';
const FFPROBE = process.env.RAFFI_FFPROBE_BIN || 'ffprobe';

const CLIP_SECONDS = 72;
const LOOPS = 100;
const FILM_SECONDS = CLIP_SECONDS * LOOPS;
const FPS = 24;
const AAC_FRAME_SECONDS = 1024 / 48_000;
/** Seconds in the clip at which key frames are forced: 2 to 4 s apart, as scene cuts leave them. */
const KEY_FRAMES = [0, 4, 6, 9, 13, 15.5, 19.5, 22, 26, 28.5, 32, 36, 38, 42, 45, 47, 51, 54.5, 57, 61, 63, 66, 69.5];

/**
 * Runs a command to its end and gives each line of its standard output to `onLine`.
 * @param {string} command
 * @param {string[]} args
 * @param {(line: string) => void} [onLine]
 */
async function run(command, args, onLine) {
  const child = spawn(command, args, { stdio: ['ignore', onLine ? 'pipe' : 'ignore', 'inherit'] });
  /** @type {Promise<number | null>} */
  const exited = new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  if (onLine && child.stdout) createInterface({ input: child.stdout }).on('line', onLine);
  const code = await exited;
  if (code !== 0) throw new Error(`${command} ended with status ${code}`);
}

/** @param {string} path */
const sizeOf = (path) =>
  stat(path).then(
    (found) => found.size,
    () => 0,
  );

/**
 * Makes `path` by FFmpeg unless it is there: under another name first, so that what has the name is complete.
 * @param {string} path
 * @param {string[]} args
 * @returns {Promise<boolean>} whether it was made now
 */
async function make(path, args) {
  if ((await sizeOf(path)) > 0) return false;
  const started = performance.now();
  const partial = join(path, '..', `partial-${basename(path)}`);
  await run(FFMPEG, ['-hide_banner', '-loglevel', 'error', '-nostdin', '-y', ...args, partial]);
  await rename(partial, path);
  console.log(`made ${path} in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  return true;
}

/**
 * Reads every packet's times: decode times ascend, frames and AAC frames follow without gap, B-frames and key frames are where they belong.
 * @param {string} path
 */
async function verify(path) {
  const clocks = { video: { dts: -Infinity, count: 0 }, audio: { dts: -Infinity, count: 0 } };
  let reordered = 0;
  let keys = 0;
  let lastKey = 0;
  let longestGap = 0;
  let highestPts = -Infinity;
  /** @type {string[]} */
  const faults = [];
  await run(
    FFPROBE,
    ['-v', 'error', '-of', 'csv=p=0', '-show_entries', 'packet=codec_type,pts_time,dts_time,flags', path],
    (line) => {
      const [type, ptsText, dtsText, flags] = line.split(',');
      if (type !== 'video' && type !== 'audio') return;
      const pts = Number(ptsText);
      // The first packets of a Matroska track with B-frames have no decode time.
      const dts = dtsText === 'N/A' ? Number.NaN : Number(dtsText);
      const clock = clocks[type];
      clock.count++;
      if (dts <= clock.dts) faults.push(`${type} decode time ${dts} after ${clock.dts}`);
      if (type === 'audio' && clock.count > 2 && Math.abs(pts - clock.dts - AAC_FRAME_SECONDS) > 0.0021)
        faults.push(`audio jumps from ${clock.dts} to ${pts}`);
      if (!Number.isNaN(dts)) clock.dts = dts;
      if (type === 'audio') return;
      if (pts < highestPts) reordered++;
      highestPts = Math.max(highestPts, pts);
      if (!flags?.startsWith('K')) return;
      keys++;
      longestGap = Math.max(longestGap, pts - lastKey);
      lastKey = pts;
    },
  );
  if (clocks.video.count !== FILM_SECONDS * FPS) faults.push(`${clocks.video.count} video frames`);
  if (Math.abs(highestPts - FILM_SECONDS) > 0.2) faults.push(`last frame at ${highestPts}`);
  if (Math.abs(clocks.audio.dts - FILM_SECONDS) > 0.2) faults.push(`last audio at ${clocks.audio.dts}`);
  if (reordered < clocks.video.count / 4) faults.push(`only ${reordered} B-frames`);
  if (keys !== KEY_FRAMES.length * LOOPS || longestGap > 4.01)
    faults.push(`${keys} key frames, up to ${longestGap} s apart`);
  if (faults.length > 0)
    throw new Error(
      `${path} is not what the benchmarks need: ${faults.length} faults, ${faults.slice(0, 5).join('; ')}`,
    );
  console.log(
    `${path}: ${clocks.video.count} frames, ${reordered} reordered, ${keys} key frames at most ${longestGap.toFixed(2)} s apart, ` +
      `${clocks.audio.count} AAC frames, all in order`,
  );
}

const directory = resolve(process.argv[2] ?? fileURLToPath(new URL('../.cache/bench/', import.meta.url)));
const clip = join(directory, 'clip.mp4');
const sound = join(directory, 'sound.m4a');
const films = [join(directory, 'film.mkv'), join(directory, 'film.mp4')];
await mkdir(directory, { recursive: true });

if ((await Promise.all(films.map(sizeOf))).includes(0)) {
  const picture = `testsrc2=size=1920x1080:rate=${FPS}:duration=${CLIP_SECONDS},noise=alls=12:allf=t,format=yuv420p`;
  await make(clip, [
    ...['-f', 'lavfi', '-i', picture, '-c:v', 'libx264', '-preset', 'veryfast', '-bf', '3', '-b_strategy', '1'],
    ...['-b:v', '5M', '-maxrate', '7M', '-bufsize', '10M', '-g', '9999', '-sc_threshold', '0', '-flags', '+cgop'],
    ...['-force_key_frames', KEY_FRAMES.join(','), '-video_track_timescale', '24000'],
  ]);
  const noise = `anoisesrc=color=pink:amplitude=0.2:sample_rate=48000:duration=${FILM_SECONDS}:seed=1`;
  const tone = `sine=frequency=440:beep_factor=4:sample_rate=48000:duration=${FILM_SECONDS}`;
  await make(sound, [
    ...['-f', 'lavfi', '-i', noise, '-f', 'lavfi', '-i', tone, '-filter_complex', '[0:a][1:a]amerge=inputs=2[a]'],
    ...['-map', '[a]', '-c:a', 'aac', '-aac_coder', 'fast', '-b:a', '160k'],
  ]);
  for (const film of films) {
    const inputs = ['-stream_loop', String(LOOPS - 1), '-i', clip, '-i', sound];
    await make(film, [...inputs, '-map', '0:v', '-map', '1:a', '-c', 'copy', '-metadata:s:a:0', 'language=eng']);
  }
  for (const film of films) await verify(film);
  await Promise.all([rm(clip), rm(sound)]);
} else if (process.argv.includes('--verify')) {
  for (const film of films) await verify(film);
}
for (const film of films) console.log(`${film}: ${((await sizeOf(film)) / 1e9).toFixed(2)} GB`);
