/** Playlists as text. Names and sections are those of RFC 8216bis (draft-pantos-hls-rfc8216bis). */

export interface MediaPlaylist {
  readonly segments: readonly { readonly uri: string; readonly duration: number }[];
  /** EXT-X-MAP (4.4.4.5); absent for packed audio. */
  readonly initUri?: string;
  /** Media sequence number of the first segment (4.4.3.2). */
  readonly mediaSequence: number;
  /** Every segment can be decoded alone (4.4.2.1); must hold for all of the presentation. */
  readonly independent: boolean;
  readonly start?: StartPoint;
}

/** EXT-X-START (4.4.2.2). */
interface StartPoint {
  /** Seconds from the beginning of the playlist. */
  readonly timeOffset: number;
}

/** EXT-X-MEDIA (4.4.6.1) of type AUDIO. */
export interface AudioRendition {
  readonly groupId: string;
  readonly name: string;
  readonly language?: string;
  readonly channels?: number;
  readonly isDefault: boolean;
  readonly autoSelect: boolean;
  readonly uri: string;
}

/** EXT-X-MEDIA (4.4.6.1) of type SUBTITLES. */
export interface SubtitleTag {
  readonly groupId: string;
  readonly name: string;
  readonly language?: string;
  readonly isDefault: boolean;
  readonly autoSelect: boolean;
  readonly forced: boolean;
  readonly uri: string;
}

/** EXT-X-STREAM-INF (4.4.6.2). */
export interface Variant {
  readonly uri: string;
  /** Peak bits per second. */
  readonly bandwidth: number;
  readonly averageBandwidth: number;
  readonly codecs: readonly string[];
  readonly resolution?: readonly [number, number];
  readonly frameRate?: number;
  readonly videoRange?: 'SDR' | 'HLG' | 'PQ';
  readonly audioGroupId?: string;
  readonly subtitlesGroupId?: string;
}

export interface MultivariantPlaylist {
  readonly variants: readonly Variant[];
  readonly audio: readonly AudioRendition[];
  readonly subtitles?: readonly SubtitleTag[];
  readonly independent: boolean;
  readonly start?: StartPoint;
}

/** A complete media playlist: VOD, ENDLIST, every segment. */
export function renderMediaPlaylist(playlist: MediaPlaylist): string {
  // 4.4.3.1: the EXTINF duration of each segment, rounded to the nearest integer, must not exceed the target duration.
  const target = playlist.segments.reduce((most, segment) => Math.max(most, Math.round(segment.duration)), 1);
  const lines = ['#EXTM3U', '#EXT-X-VERSION:7', `#EXT-X-TARGETDURATION:${target}`];
  lines.push(`#EXT-X-MEDIA-SEQUENCE:${playlist.mediaSequence}`, '#EXT-X-PLAYLIST-TYPE:VOD');
  if (playlist.independent) lines.push('#EXT-X-INDEPENDENT-SEGMENTS');
  if (playlist.start) lines.push(startTag(playlist.start));
  if (playlist.initUri !== undefined) lines.push(`#EXT-X-MAP:URI=${quoted(playlist.initUri)}`);
  for (const segment of playlist.segments) lines.push(`#EXTINF:${segment.duration.toFixed(6)},`, segment.uri);
  lines.push('#EXT-X-ENDLIST', '');
  return lines.join('\n');
}

export function renderMultivariantPlaylist(playlist: MultivariantPlaylist): string {
  const lines = ['#EXTM3U', '#EXT-X-VERSION:7'];
  if (playlist.independent) lines.push('#EXT-X-INDEPENDENT-SEGMENTS');
  if (playlist.start) lines.push(startTag(playlist.start));
  for (const rendition of playlist.audio) lines.push(mediaTag(rendition));
  for (const rendition of playlist.subtitles ?? []) lines.push(subtitleTag(rendition));
  for (const variant of playlist.variants) lines.push(streamInfTag(variant), variant.uri);
  lines.push('');
  return lines.join('\n');
}

function startTag(start: StartPoint): string {
  return `#EXT-X-START:TIME-OFFSET=${start.timeOffset.toFixed(3)},PRECISE=YES`;
}

function mediaTag(rendition: AudioRendition): string {
  const attributes = ['TYPE=AUDIO', `GROUP-ID=${quoted(rendition.groupId)}`, `NAME=${quoted(rendition.name)}`];
  if (rendition.language !== undefined) attributes.push(`LANGUAGE=${quoted(rendition.language)}`);
  attributes.push(`DEFAULT=${yesNo(rendition.isDefault)}`, `AUTOSELECT=${yesNo(rendition.autoSelect)}`);
  if (rendition.channels !== undefined) attributes.push(`CHANNELS=${quoted(String(rendition.channels))}`);
  attributes.push(`URI=${quoted(rendition.uri)}`);
  return `#EXT-X-MEDIA:${attributes.join(',')}`;
}

function subtitleTag(rendition: SubtitleTag): string {
  const attributes = ['TYPE=SUBTITLES', `GROUP-ID=${quoted(rendition.groupId)}`, `NAME=${quoted(rendition.name)}`];
  if (rendition.language !== undefined) attributes.push(`LANGUAGE=${quoted(rendition.language)}`);
  attributes.push(`DEFAULT=${yesNo(rendition.isDefault)}`, `AUTOSELECT=${yesNo(rendition.autoSelect)}`);
  attributes.push(`FORCED=${yesNo(rendition.forced)}`, `URI=${quoted(rendition.uri)}`);
  return `#EXT-X-MEDIA:${attributes.join(',')}`;
}

function streamInfTag(variant: Variant): string {
  const attributes = [
    `BANDWIDTH=${Math.ceil(variant.bandwidth)}`,
    `AVERAGE-BANDWIDTH=${Math.ceil(variant.averageBandwidth)}`,
    `CODECS=${quoted(variant.codecs.join(','))}`,
  ];
  if (variant.resolution) attributes.push(`RESOLUTION=${variant.resolution[0]}x${variant.resolution[1]}`);
  if (variant.frameRate !== undefined) attributes.push(`FRAME-RATE=${variant.frameRate.toFixed(3)}`);
  if (variant.videoRange) attributes.push(`VIDEO-RANGE=${variant.videoRange}`);
  if (variant.audioGroupId !== undefined) attributes.push(`AUDIO=${quoted(variant.audioGroupId)}`);
  if (variant.subtitlesGroupId !== undefined) attributes.push(`SUBTITLES=${quoted(variant.subtitlesGroupId)}`);
  return `#EXT-X-STREAM-INF:${attributes.join(',')}`;
}

/** A quoted-string (4.2) has no line breaks and no double quotes. */
function quoted(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are just what must go
  return `"${text.replace(/[\u0000-\u001f\u007f]+/g, ' ').replaceAll('"', "'")}"`;
}

function yesNo(value: boolean): 'YES' | 'NO' {
  return value ? 'YES' : 'NO';
}
