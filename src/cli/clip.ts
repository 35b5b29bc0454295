/** `raffi-server clip`: a stretch of a source as an MP4, with a bar while it is being made. */
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import type { ClipCommand } from './arguments.ts';
import { openSession } from './open-session.ts';
import { Progress } from './terminal.ts';

export interface ClipResult {
  /** Absolute. */
  readonly outputPath: string;
  /** `smart`: whole groups of pictures are copies of the source. */
  readonly method: string;
}

/** @throws AppError; the signal's reason. Nothing is left behind then. */
export async function makeClip(command: ClipCommand, config: Config, signal: AbortSignal): Promise<ClipResult> {
  const { source, start, end, output, audio } = command;
  const { name, ...changes } = await placeOf(output);
  await using opened = await openSession(source, config, changes, signal);
  const { rooms, session, presentation } = opened;
  if (audio !== undefined) {
    const tracks = presentation.info.tracks.filter(({ type }) => type === 'audio').length;
    if (audio >= tracks)
      throw new AppError('bad-request', `--audio: the source has ${tracks} audio tracks, counted from 0.`);
    session.audioIndex = audio;
  }
  using progress = new Progress();
  using _clips = rooms.clips.subscribe(({ progress: share }) => progress.show(output ?? 'Making the clip', share));
  const job = await rooms.clips.create(session, { start, end, ...(name ? { name } : {}) }, signal).catch(inOptions);
  const cancel = (): void => void job.cancel(new AppError('clip-cancelled', 'The clip was cancelled.'));
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const { outputPath, method } = await job.finished(session.ended);
    return { outputPath: outputPath as string, method: method as string };
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** The folder and the name that `--output` asks for: a folder, under the usual name, when it is one or is written like one. */
async function placeOf(output: string | undefined): Promise<{ clipsDir?: string; name?: string }> {
  if (output === undefined) return {};
  const isFolder = /[/\\]$/.test(output) || (await stat(output).catch(() => undefined))?.isDirectory() === true;
  return isFolder ? { clipsDir: output } : { clipsDir: dirname(output), name: basename(output) };
}

/** What the service says of the fields of a request, it says of our options. */
function inOptions(error: unknown): never {
  if (!(error instanceof AppError) || error.code !== 'bad-request') throw error;
  const detail = error.detail.replace(
    /^body\/(\w+):/,
    (_, field: string) => `--${field === 'name' ? 'output' : field}:`,
  );
  throw new AppError(error.code, detail, { cause: error });
}
