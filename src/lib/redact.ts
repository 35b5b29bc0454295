/**
 * A line without what may be secret in addresses: credentials, queries and fragments of URLs, trackers of magnet links, tokens. The last of the fences, for words
 * that come from elsewhere (causes of errors, FFmpeg, libraries): our own sentences have none of it.
 */
export function redacted(line: string): string {
  return line
    .replace(/\b(?:https?|udp|wss?|ftp):\/\/[^\s"'<>\\]+/gi, withoutSecrets)
    .replace(/\bmagnet:\?[^\s"'<>\\]+/gi, (link) => {
      const hash = /urn:btih:([0-9a-z]{32,40})/i.exec(link)?.[1];
      return hash === undefined ? 'magnet:?…' : `magnet:?xt=urn:btih:${hash}…`;
    })
    .replace(/\b(cast_token=)[^\s"'&\\]+/gi, '$1…')
    .replace(/\b(Bearer\s+)[^\s"'\\]+/gi, '$1…');
}

function withoutSecrets(url: string): string {
  return url.replace(/^([a-z]+:\/\/)[^/?#]*@/i, '$1…@').replace(/[?#].*$/, '?…');
}
