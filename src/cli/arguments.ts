/** What the words of the command line ask for. Pure. */
import { existsSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';

export type Command =
  | { readonly name: 'help'; readonly of: Topic }
  | { readonly name: 'version' }
  | { readonly name: 'serve' }
  | { readonly name: 'play'; readonly source: string; readonly at: number; readonly opens: boolean }
  | { readonly name: 'probe'; readonly source: string; readonly json: boolean }
  | ClipCommand;

export interface ClipCommand {
  readonly name: 'clip';
  readonly source: string;
  /** Seconds: inclusive, exclusive. */
  readonly start: number;
  readonly end: number;
  /** Absolute, with a separator at its end where one was given: a folder; undefined: in the clips' directory, with a name of its own. */
  readonly output: string | undefined;
  readonly audio: number | undefined;
  readonly json: boolean;
}

type Topic = 'serve' | 'play' | 'probe' | 'clip' | undefined;

/** Words that make no sense. The message is a sentence for who typed them. */
export class UsageError extends Error {}

const NAMES = ['serve', 'play', 'probe', 'clip'] as const;

const OPTIONS = {
  serve: {},
  play: { at: { type: 'string' }, 'no-open': { type: 'boolean' } },
  probe: { json: { type: 'boolean' } },
  clip: {
    start: { type: 'string' },
    end: { type: 'string' },
    output: { type: 'string', short: 'o' },
    audio: { type: 'string' },
    json: { type: 'boolean' },
  },
} as const satisfies Record<(typeof NAMES)[number], ParseArgsConfig['options']>;

/** @throws UsageError. */
export function readArguments(words: readonly string[]): Command {
  const [first] = words;
  const name = NAMES.find((one) => one === first);
  if (name === undefined && first !== undefined && !first.startsWith('-')) {
    throw new UsageError(`There is no command "${first}"; there are ${NAMES.join(', ')}.`);
  }
  const { values, positionals } = parsed(name ?? 'serve', words.slice(name === undefined ? 0 : 1));
  if (values.help) return { name: 'help', of: name };
  if (values.version) return { name: 'version' };
  const [source, more] = positionals;
  if (name === undefined || name === 'serve') {
    if (source !== undefined) throw new UsageError(`"serve" takes no "${source}"; what it does is set by variables.`);
    return { name: 'serve' };
  }
  if (source === undefined)
    throw new UsageError(`"${name}" needs a source: a path, a URL, a magnet link or an infohash.`);
  if (more !== undefined) throw new UsageError(`"${name}" takes one source, but there is "${more}" too.`);
  const where = absolute(source);
  if (name === 'probe') return { name, source: where, json: values.json === true };
  if (name === 'play')
    return { name, source: where, at: time('--at', values.at ?? '0'), opens: values['no-open'] !== true };
  return clip(where, values);
}

function clip(source: string, { start, end, output, audio, json }: Values): ClipCommand {
  if (start === undefined || end === undefined) throw new UsageError('"clip" needs --start and --end.');
  if (audio !== undefined && !/^\d{1,3}$/.test(audio))
    throw new UsageError(`--audio must be the number of an audio track, from 0, but is "${audio}".`);
  return {
    name: 'clip',
    source,
    start: time('--start', start),
    end: time('--end', end),
    output: output === undefined ? undefined : resolve(output) + (/[/\\]$/.test(output) ? sep : ''),
    audio: audio === undefined ? undefined : Number(audio),
    json: json === true,
  };
}

/** Options of all commands; only those of its own can be there. */
interface Values {
  readonly help?: boolean;
  readonly version?: boolean;
  readonly json?: boolean;
  readonly 'no-open'?: boolean;
  readonly at?: string;
  readonly start?: string;
  readonly end?: string;
  readonly output?: string;
  readonly audio?: string;
}

function parsed(
  name: (typeof NAMES)[number],
  args: readonly string[],
): { values: Values; positionals: readonly string[] } {
  const everywhere = { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } } as const;
  try {
    const options: NonNullable<ParseArgsConfig['options']> = { ...everywhere, ...OPTIONS[name] };
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { values: values as Values, positionals };
  } catch (error) {
    // Node's words name the option, and go on with advice for programmers.
    throw new UsageError(`${(error as Error).message.split(/\.\s+(?:To|Did) /)[0]?.replace(/\.$/, '')}.`);
  }
}

/** Seconds, or `h:mm:ss` or `m:ss`, with decimals. */
function time(option: string, text: string): number {
  const match = /^(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,7}(?:\.\d{1,9})?)$/.exec(text);
  const [, hours = '0', minutes = '0', seconds] = match ?? [];
  if (seconds === undefined || (match?.[2] !== undefined && Number(seconds) >= 60))
    throw new UsageError(`${option} must be seconds, m:ss or h:mm:ss, but is "${text}".`);
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}

/** A path counts from where the command is given; what names something else stays as it is. */
function absolute(source: string): string {
  const isElsewhere = /^[a-z][a-z0-9+.-]+:/i.test(source) || /^(?:[0-9a-f]{40}|[a-z2-7]{32})$/i.test(source);
  return isElsewhere && !existsSync(source) ? source : source === '' ? source : resolve(source);
}
