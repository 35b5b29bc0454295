/** Which variant of a multivariant playlist is played, and which renditions with it. */
import type { MultivariantPlaylist, RenditionTag, VariantTag } from './playlist.ts';

/** RFC 6381: how the names of video codecs begin that can be copied into fMP4, and of those that cannot. */
const COPIED = /^(?:avc[1-4]|hvc1|hev1|av01|vp09)\b/;
const OTHER_VIDEO = /^(?:dvh[1e]|dva[v1]|vp8|vp08|mp4v|vvc1|vvi1|dav1|ap4h|apch)/;

/** 2: its video can be copied, or may be so far as the playlist tells; 1: it must be transcoded; 0: it is said to have none. */
function rank({ codecs }: VariantTag): number {
  if (codecs === undefined || codecs.some((codec) => COPIED.test(codec))) return 2;
  return codecs.some((codec) => OTHER_VIDEO.test(codec)) ? 1 : 0;
}

/** The variants from the best on: those whose video can be copied first, then by bit rate. */
export function byPreference({ variants }: MultivariantPlaylist): readonly VariantTag[] {
  return variants.toSorted(
    (a, b) => rank(b) - rank(a) || b.bandwidth - a.bandwidth || (b.height ?? 0) - (a.height ?? 0),
  );
}

/** The subtitle renditions that belong to a variant. */
export function subtitlesOf(
  { renditions }: MultivariantPlaylist,
  { subtitlesGroup }: VariantTag,
): readonly RenditionTag[] {
  return renditions.filter(({ type, groupId }) => type === 'SUBTITLES' && groupId === subtitlesGroup);
}

/** The audio renditions that belong to a variant. */
export function audioOf({ renditions }: MultivariantPlaylist, { audioGroup }: VariantTag): readonly RenditionTag[] {
  return renditions.filter(({ type, groupId }) => type === 'AUDIO' && groupId === audioGroup);
}
