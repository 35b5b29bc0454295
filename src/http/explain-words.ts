import type { RunRecord } from '../presentation/run-record.ts';
import type { StartupStep } from '../session/startup.ts';
import type { RunExplained } from './explain-schemas.ts';

/** `0.35 s`, `12 s`, `3 min`. @param ms milliseconds */
export function secondsInWords(ms: number): string {
  const seconds = ms / 1000;
  if (seconds >= 120) return `${Math.round(seconds / 60)} min`;
  return `${seconds < 10 ? seconds.toFixed(2) : Math.round(seconds)} s`;
}

/** `1.4 GB`, decimal units. */
export function bytesInWords(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes, 0];
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** What a step waits for, a sentence. */
export const stepNames: Readonly<Record<StartupStep['step'], string>> = {
  source: 'The source is asked for its first bytes.',
  probe: 'Its head is read, to know what is in it.',
  index: 'Its key frames are looked for.',
  prepare: 'It is planned how each track is delivered.',
  player: 'The player has asked for no segment yet.',
  'first-byte': 'The first segment is being made.',
};

const STEPS_DONE: Readonly<Record<StartupStep['step'], string>> = {
  source: 'until the source answered',
  probe: 'until it was known what is in it',
  index: 'until its key frames were known',
  prepare: 'until it was planned how each track is delivered',
  player: 'until the player asked for a segment',
  'first-byte': 'until the first segment was there',
};

export function stepInWords({ step, ms, isOver }: StartupStep, failed: boolean): string {
  if (isOver) return `${secondsInWords(ms)} ${STEPS_DONE[step]}`;
  return failed ? `Failed after ${secondsInWords(ms)}.` : `${stepNames[step]} ${secondsInWords(ms)} so far.`;
}

/** Where the time went, a sentence or two. */
export function totalInWords(steps: readonly StartupStep[], totalMs: number, isOver: boolean, failed: boolean): string {
  const last = steps.at(-1);
  const longest = steps.toSorted((a, b) => b.ms - a.ms)[0];
  if (last === undefined || longest === undefined) return '';
  const most = `${secondsInWords(longest.ms)} of it ${STEPS_DONE[longest.step]}`;
  if (isOver) return `The first segment was there ${secondsInWords(totalMs)} after POST, ${most}.`;
  if (failed) return `It failed ${secondsInWords(totalMs)} after POST, in the step "${last.step}".`;
  return `${secondsInWords(totalMs)} since POST. ${stepNames[last.step]}`;
}

const REASONS: Readonly<Record<NonNullable<RunRecord['reason']>, string>> = {
  complete: 'it made the last segment',
  idle: 'nobody wanted more',
  displaced: 'another run needed its place',
  'no-room': 'it never got a place among RAFFI_MAX_RUNS',
  closed: 'the source was closed',
  failed: 'it failed',
};

export function runInWords(run: RunRecord, state: RunExplained['state']): string {
  const { first, made, position, speed, retries, reason, error } = run;
  const segments = made === 1 ? '1 segment' : `${made} segments`;
  const pace = speed === undefined ? '' : `, at ${speed.toFixed(1)} times the speed of playing`;
  const sofar = `${segments} from segment ${first} on, up to ${position.toFixed(1)} s${pace}`;
  const again = retries === 0 ? '' : ` It broke ${retries === 1 ? 'once' : `${retries} times`} and went on.`;
  if (state === 'queued') return 'Waits for a place: as many runs as RAFFI_MAX_RUNS allows are at work.';
  if (state === 'working') return `At work: ${sofar}.${again}`;
  if (state === 'waiting') return `Waits until more is wanted: ${sofar}.${again}`;
  const why = error ? `it failed: ${error.detail.replace(/\.$/, '')}` : REASONS[reason ?? 'complete'];
  return `Ended, since ${why}: ${sofar}.${again}`;
}

interface CacheCounts {
  readonly copiedSegments: number;
  readonly hits: number;
  readonly misses: number;
  readonly copiedMs: number | undefined;
}

export function cacheInWords({ copiedSegments, hits, misses, copiedMs }: CacheCounts): string {
  const asked = hits + misses;
  const transcoded =
    asked === 0
      ? []
      : [
          `Of ${asked} re-encoded ${asked === 1 ? 'segment' : 'segments'} that were asked for, ${hits} were there already.`,
        ];
  const copied =
    copiedSegments === 0
      ? []
      : [
          `${copiedSegments} ${copiedSegments === 1 ? 'segment was' : 'segments were'} copied, in ${copiedMs} ms on the average; copies need no cache.`,
        ];
  return [...copied, ...transcoded].join(' ') || 'No segment was made yet.';
}
