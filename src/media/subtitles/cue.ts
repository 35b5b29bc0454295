/** A subtitle as WebVTT shows it. */
export interface Cue {
  /** Seconds on the source's clock. */
  readonly start: number;
  /** Seconds on the source's clock, later than `start`. */
  readonly end: number;
  /** WebVTT cue text: escaped, balanced, without blank lines, at least one visible character. */
  readonly text: string;
  /** WebVTT cue settings (`line:0 align:left`); empty for none. */
  readonly settings: string;
}

/** What a packet shows, before it has times. */
export type CueContent = Pick<Cue, 'text' | 'settings'>;

/** FFmpeg's names of the codecs whose packets are text. */
export type TextCodec = 'subrip' | 'ass' | 'mov_text' | 'webvtt';

const TEXT_CODECS: ReadonlySet<string> = new Set<TextCodec>(['subrip', 'ass', 'mov_text', 'webvtt']);

export function isTextCodec(codec: string): codec is TextCodec {
  return TEXT_CODECS.has(codec);
}
