import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../errors.ts';
import { parseSource, type SourceKindName } from './spec.ts';

const hash = '0123456789abcdef0123456789ABCDEF01234567';
const base32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** kind, then what it names. */
function parsed(input: string, kind?: SourceKindName, platform: NodeJS.Platform = 'linux'): string {
  const spec = parseSource(input, kind, platform);
  switch (spec.kind) {
    case 'file':
      return `file ${spec.path}`;
    case 'http':
      return `http ${spec.url.href}`;
    case 'torrent':
      return `torrent ${spec.reference}`;
  }
}

const understood: [input: string, kind: SourceKindName | undefined, expected: string, platform?: NodeJS.Platform][] = [
  ['http://a.b/c.mkv', undefined, 'http http://a.b/c.mkv'],
  ['  HTTPS://a.b/c d.mkv?x=1#t=5\n', undefined, 'http https://a.b/c%20d.mkv?x=1'],
  ['http://user:pass@a.b/c', undefined, 'http http://user:pass@a.b/c'],
  ['http://[::1]:8080/x', 'http', 'http http://[::1]:8080/x'],
  ['http://a.b/c.torrent', 'http', 'http http://a.b/c.torrent'],
  ['/films/a b.mkv', undefined, 'file /films/a b.mkv'],
  ['/films/a ', undefined, 'file /films/a '],
  ['/films/50% off #1?.mkv', 'local', 'file /films/50% off #1?.mkv'],
  ['/concat:x', undefined, 'file /concat:x'],
  ['file:///films/a%20b%231.mkv', undefined, 'file /films/a b#1.mkv'],
  ['file://localhost/films/a.mkv', 'file', 'file /films/a.mkv'],
  ['file:/films/a%20b.mkv', undefined, 'file /films/a b.mkv'],
  ['file:/C:/films/a.mkv', undefined, 'file C:\\films\\a.mkv', 'win32'],
  ['file:/-y.ts', undefined, 'file /-y.ts'],
  ['FILE:///films/%C3%A9.mkv', undefined, 'file /films/é.mkv'],
  ['C:\\films\\a.mkv', undefined, 'file C:\\films\\a.mkv', 'win32'],
  ['c:/films/a.mkv', 'file', 'file c:\\films\\a.mkv', 'win32'],
  ['file:///C:/films/a%20b.mkv', undefined, 'file C:\\films\\a b.mkv', 'win32'],
  [`magnet:?xt=urn:btih:${hash}&dn=x`, undefined, `torrent magnet:?xt=urn:btih:${hash}&dn=x`],
  [hash, undefined, `torrent ${hash}`],
  [base32, 'torrent', `torrent ${base32}`],
  ['/films/x.torrent', undefined, 'torrent /films/x.torrent'],
  ['/films/x.torrent', 'file', 'file /films/x.torrent'],
  ['file:///films/x%20y.torrent', undefined, 'torrent /films/x y.torrent'],
  ['https://a.b/x.TORRENT?y=1', undefined, 'torrent https://a.b/x.TORRENT?y=1'],
  ['https://a.b/get', 'torrent', 'torrent https://a.b/get'],
];

for (const [input, kind, expected, platform] of understood) {
  test(`${JSON.stringify(input)} as ${kind ?? 'anything'}`, () => {
    assert.equal(parsed(input, kind, platform), expected);
  });
}

const refused: [input: string, kind: SourceKindName | undefined, words: RegExp, platform?: NodeJS.Platform][] = [
  ['', undefined, /is empty/],
  [' \n', 'file', /is empty/],
  ['films/a.mkv', undefined, /neither a URL nor an absolute path/],
  ['./a.mkv', 'file', /neither a URL nor an absolute path/],
  ['~/a.mkv', undefined, /neither a URL nor an absolute path/],
  ['a.torrent', undefined, /neither a URL nor an absolute path/],
  ['/a\0.mkv', undefined, /NUL/],
  ['file:///a%00.mkv', undefined, /NUL/],
  ['/a\ud800.mkv', undefined, /Unicode/],
  [`/${'a'.repeat(20_000)}`, undefined, /longer than/],
  ['ftp://a.b/c.mkv', undefined, /scheme "ftp:"/],
  ['concat:/etc/passwd|/x', undefined, /scheme "concat:"/],
  ['data:video\u002fmp4;base64,AAAA', undefined, /scheme "data:"/],
  ['pipe:0', 'file', /scheme "pipe:"/],
  ['javascript:1', 'http', /scheme "javascript:"/],
  ['file:///etc/passwd', 'http', /scheme "file:"/],
  ['/films/a.mkv', 'http', /not a valid URL/],
  ['http:a.b/c', undefined, /"\/\/" is missing/],
  ['http://', undefined, /not a valid URL/],
  ['http://a b/', undefined, /not a valid URL/],
  ['http://a.b/c', 'file', /scheme "http:"/],
  [hash, 'file', /neither a URL nor an absolute path/],
  [`magnet:?xt=urn:btih:${hash}`, 'http', /scheme "magnet:"/],
  ['file://server/share/a.mkv', undefined, /another host \(server\)/],
  ['file:a.mkv', undefined, /not a valid file URL/],
  ['file:-y.ts', undefined, /not a valid file URL/],
  ['-y.ts', undefined, /neither a URL nor an absolute path/],
  ['concat:/a.mkv|/etc/passwd', undefined, /scheme "concat:"/],
  ['subfile:,start,0,end,0,,:/etc/passwd', undefined, /scheme "subfile:"/],
  ['pipe:0', undefined, /scheme "pipe:"/],
  ['file:///a%2Fb', undefined, /cannot be decoded/],
  ['file:///a%ff', undefined, /cannot be decoded/],
  ['file:///a?b', undefined, /%3F and %23/],
  ['C:\\films\\a.mkv', undefined, /neither a URL nor an absolute path/],
  ['\\\\server\\share\\a.mkv', undefined, /network or device path/, 'win32'],
  ['//server/share/a.mkv', undefined, /network or device path/, 'win32'],
  ['\\\\.\\PhysicalDrive0', 'file', /network or device path/, 'win32'],
  ['C:a.mkv', undefined, /neither a URL nor an absolute path/, 'win32'],
  ['file://server/share/a.mkv', undefined, /another host/, 'win32'],
];

for (const [input, kind, words, platform] of refused) {
  test(`${JSON.stringify(input.slice(0, 40))} as ${kind ?? 'anything'} is refused`, () => {
    assert.throws(
      () => parsed(input, kind, platform),
      (error) => {
        assert.ok(error instanceof AppError);
        assert.equal(error.code, 'bad-request');
        assert.match(error.detail, /"source"/);
        assert.match(error.detail, words);
        return true;
      },
    );
  });
}

test('whatever comes in, a spec or a bad request comes out', () => {
  const pieces = fc.constantFrom(
    'http://',
    'file://',
    'file:',
    'magnet:?',
    '/',
    '\\\\',
    'C:',
    '%',
    '%00',
    '..',
    ' ',
    '.torrent',
  );
  const input = fc.array(fc.oneof(pieces, fc.string({ unit: 'binary', maxLength: 8 }))).map((parts) => parts.join(''));
  const kind = fc.constantFrom<SourceKindName | undefined>(undefined, 'http', 'file', 'local', 'torrent');
  const platform = fc.constantFrom<NodeJS.Platform>('linux', 'win32', 'darwin');
  fc.assert(
    fc.property(input, kind, platform, (text, name, system) => {
      try {
        const spec = parseSource(text, name, system);
        if (spec.kind === 'file') {
          assert.ok(system === 'win32' ? /^[a-z]:\\/i.test(spec.path) : spec.path.startsWith('/'));
          assert.ok(!spec.path.includes('\0'));
        }
        if (spec.kind === 'http') assert.ok(/^https?:$/.test(spec.url.protocol));
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'bad-request') throw error;
      }
    }),
    { numRuns: 2000 },
  );
});
