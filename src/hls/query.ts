/**
 * A playlist with a query parameter on every URI in it: those on lines of their own (RFC 8216bis, 4.1) and those in `URI` attributes (4.2). It reads the
 * text, so that no kind of playlist can forget one.
 * @param value what a URI may hold as it is, unescaped.
 */
export function withQuery(playlist: string, name: string, value: string): string {
  const extended = (uri: string): string => `${uri}${uri.includes('?') ? '&' : '?'}${name}=${value}`;
  return playlist
    .split('\n')
    .map((line) => {
      if (line === '') return line;
      if (!line.startsWith('#')) return extended(line);
      // Quoted strings are passed over whole, since a name may hold what looks like an attribute.
      return line.replace(/"[^"]*"/g, (quoted, at: number) =>
        /[:,]URI=$/.test(line.slice(0, at)) ? `"${extended(quoted.slice(1, -1))}"` : quoted,
      );
    })
    .join('\n');
}
