/**
 * Playlists of HTTP Live Streaming (RFC 8216 section 4), as text. Pure; linear in the text's length, whatever stands in it.
 */
import { parseMediaPlaylist } from './media-playlist.ts';
import { parseMultivariantPlaylist } from './multivariant-playlist.ts';
import { type MediaPlaylist, type MultivariantPlaylist, PlaylistError } from './playlist.ts';

/**
 * @throws PlaylistError when it breaks the rules in a way that matters, is live, or has nothing that could be played.
 */
export function parsePlaylist(text: string): MediaPlaylist | MultivariantPlaylist {
  const lines = text
    .replace(/^\ufeff/, '')
    .split(/\r\n|\n|\r/)
    .map((line) => line.trim());
  if (!/^#EXTM3U(?:\s|$)/.test(lines[0] ?? '')) throw new PlaylistError('does not begin with #EXTM3U');
  const isMultivariant = lines.some((line) => line.startsWith('#EXT-X-STREAM-INF:'));
  if (lines.some((line) => line.startsWith('#EXT-X-DEFINE:'))) {
    throw new PlaylistError('uses variables (EXT-X-DEFINE), which this server does not know', 'unplayable');
  }
  return isMultivariant ? parseMultivariantPlaylist(lines) : parseMediaPlaylist(lines);
}
