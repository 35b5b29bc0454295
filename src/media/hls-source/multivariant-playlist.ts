/** Multivariant playlists: RFC 8216 section 4.3.4. */
import { decimalInteger, integerPair, parseAttributes } from './attributes.ts';
import { type MultivariantPlaylist, PlaylistError, type RenditionTag, type VariantTag } from './playlist.ts';

const MAX_VARIANTS = 1000;
const STREAM = '#EXT-X-STREAM-INF:';
const MEDIA = '#EXT-X-MEDIA:';

/** @param lines trimmed. @throws PlaylistError. */
export function parseMultivariantPlaylist(lines: readonly string[]): MultivariantPlaylist {
  const variants: VariantTag[] = [];
  const renditions: RenditionTag[] = [];
  let stream: string | undefined;
  for (const line of lines) {
    if (line.startsWith(STREAM)) stream = line.slice(STREAM.length);
    else if (line.startsWith(MEDIA)) {
      const rendition = parseRendition(line.slice(MEDIA.length));
      if (rendition) renditions.push(rendition);
    } else if (line !== '' && !line.startsWith('#') && stream !== undefined) {
      variants.push(parseVariant(stream, line));
      stream = undefined;
    }
    if (variants.length > MAX_VARIANTS || renditions.length > MAX_VARIANTS) {
      throw new PlaylistError(`lists more than ${MAX_VARIANTS} variants or renditions`);
    }
  }
  if (variants.length === 0) throw new PlaylistError('lists no variant');
  return { kind: 'multivariant', variants, renditions };
}

function parseVariant(text: string, uri: string): VariantTag {
  const attributes = parseAttributes(text);
  const codecs = attributes
    .get('CODECS')
    ?.split(',')
    .map((codec) => codec.trim())
    .filter((codec) => codec !== '');
  const height = integerPair(attributes.get('RESOLUTION'), 'x')?.[1];
  const audioGroup = attributes.get('AUDIO');
  const subtitlesGroup = attributes.get('SUBTITLES');
  return {
    uri,
    bandwidth: decimalInteger(attributes.get('BANDWIDTH')) ?? 0,
    ...(codecs && codecs.length > 0 && { codecs }),
    ...(height !== undefined && { height }),
    ...(audioGroup !== undefined && { audioGroup }),
    ...(subtitlesGroup !== undefined && { subtitlesGroup }),
  };
}

/** Undefined for renditions that are nothing to us (alternative video, closed captions), and broken ones. */
function parseRendition(text: string): RenditionTag | undefined {
  const attributes = parseAttributes(text);
  const type = attributes.get('TYPE');
  const groupId = attributes.get('GROUP-ID');
  if ((type !== 'AUDIO' && type !== 'SUBTITLES') || groupId === undefined) return undefined;
  const language = attributes.get('LANGUAGE');
  const uri = attributes.get('URI');
  return {
    type,
    groupId,
    name: attributes.get('NAME') ?? '',
    ...(language !== undefined && language !== '' && { language }),
    isDefault: attributes.get('DEFAULT') === 'YES',
    isForced: attributes.get('FORCED') === 'YES',
    ...(uri !== undefined && uri !== '' && { uri }),
  };
}
