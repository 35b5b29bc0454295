import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { checkWebvtt, mappedOffset } from '../../../test/fixtures/webvtt.ts';
import type { Packet } from '../types.ts';
import { cuesOf, webvttSegment } from './webvtt.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const packet = (data: Uint8Array | string, pts = 1, duration = 2): Packet => ({
  data: typeof data === 'string' ? utf8(data) : data,
  pts,
  duration,
  key: true,
});
const WHOLE = { startTime: 0, from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };

/** What a packet's cues look like: the text, with the settings behind a bar where there are any. */
function shown(codec: string, data: Uint8Array | string, codecPrivate?: Uint8Array): string[] {
  const cues = cuesOf(codec, codecPrivate, [packet(data)]);
  checkWebvtt(webvttSegment(cues, WHOLE));
  return cues.map(({ text, settings }) => (settings === '' ? text : `${text} | ${settings}`));
}

const box = (type: string, ...parts: Uint8Array[]): Uint8Array => {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(8);
  header.writeUInt32BE(8 + body.length);
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, body]);
};

describe('SubRip', () => {
  const TABLE: readonly (readonly [source: string, shown: string | undefined])[] = [
    ['Hello\r\nthere', 'Hello\nthere'],
    ['<i>soft</i> <b>loud</b> <u>line</u>', '<i>soft</i> <b>loud</b> <u>line</u>'],
    ['<I>upper</I>', '<i>upper</i>'],
    ['<font color="#ff0000">red</font>', 'red'],
    ['<i>never closed', '<i>never closed</i>'],
    ['<b><i>crossed</b> tags</i>', '<b><i>crossed</i></b><i> tags</i>'],
    ['closed </i>without', 'closed without'],
    ['a < b > c & d', 'a &lt; b &gt; c &amp; d'],
    ['I <3 <John>', 'I &lt;3 &lt;John&gt;'],
    ['&amp; &lt;i&gt;', '&amp; &lt;i&gt;'],
    ['00:01 --> 00:02', '00:01 --&gt; 00:02'],
    ['{\\an8}on top', 'on top | line:0'],
    ['{\\an7}left', 'left | line:0 align:left'],
    ['{\\i1}kept{text}', 'kept{text}'],
    ['one\n\n\ntwo\n', 'one\ntwo'],
    ['one<br>two<br/>three', 'one\ntwo\nthree'],
    ['\ufefftext\0rest', 'text'],
    ['a\u0007b', 'ab'],
    ['  \n ', undefined],
    ['<i></i>', undefined],
    ['', undefined],
  ];
  for (const [source, expected] of TABLE) {
    test(JSON.stringify(source), () =>
      assert.deepEqual(shown('subrip', source), expected === undefined ? [] : [expected]),
    );
  }
  test('bytes that are no UTF-8 are replaced', () => {
    assert.deepEqual(shown('subrip', Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x21)), ['caf\ufffd!']);
  });
});

describe('ASS', () => {
  const HEADER = utf8(`[Script Info]\r
ScriptType: v4.00+\r
\r
[V4+ Styles]\r
Format: Name, Fontname, Fontsize, Bold, Italic, Underline, Alignment\r
Style: Default,Arial,20,0,0,0,2\r
Style: Thought,Arial,20,0,-1,0,2\r
Style: Sign,Arial,20,1,0,0,8\r
\r
[Events]\r
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r
`);
  const TABLE: readonly (readonly [text: string, style: string, shown: string | undefined])[] = [
    ['Hello, you, there', 'Default', 'Hello, you, there'],
    ['one\\Ntwo\\nthree\\hfour', 'Default', 'one\ntwo\nthree\u00a0four'],
    ['{\\i1}soft{\\i0} {\\b700}loud{\\b0}', 'Default', '<i>soft</i> <b>loud</b>'],
    ['{\\i1\\b1}both{\\r}none', 'Default', '<b><i>both</i></b>none'],
    ['{\\rThought}as the style', 'Default', '<i>as the style</i>'],
    ['{\\fad(100,200)\\pos(10,20)\\bord2\\be1\\iclip(1,2)}plain', 'Default', 'plain'],
    ['{\\t(0,500,\\i1)}not yet', 'Default', 'not yet'],
    ['{\\an8}above', 'Default', 'above | line:0'],
    ['{\\a6}old above', 'Default', 'old above | line:0'],
    ['{\\an4}{\\an9}the first counts', 'Default', 'the first counts | line:50% align:left'],
    ['{a comment}text', 'Default', 'text'],
    ['not {closed', 'Default', 'not {closed'],
    ['{\\p1}m 0 0 l 100 0 100 100{\\p0}', 'Default', undefined],
    ['{\\p1}m 0 0 l 9 9{\\p0}after', 'Default', 'after'],
    ['a < b & c --> d', 'Default', 'a &lt; b &amp; c --&gt; d'],
    ['thinking', 'Thought', '<i>thinking</i>'],
    ['EXIT', 'Sign', '<b>EXIT</b> | line:0'],
    ['EXIT', '*Sign', '<b>EXIT</b> | line:0'],
    ['unknown style', 'Nobody', 'unknown style'],
  ];
  for (const [text, style, expected] of TABLE) {
    test(`${style}: ${text}`, () =>
      assert.deepEqual(
        shown('ass', `7,0,${style},Bob,0,0,0,,${text}`, HEADER),
        expected === undefined ? [] : [expected],
      ));
  }
  test('SSA counts its alignments otherwise', () => {
    const header = utf8('[V4 Styles]\nFormat: Name, Alignment\nStyle: Top,6\nStyle: Middle,9\nStyle: Low,2\n');
    const at = (style: string) => shown('ass', `0,Marked=0,${style},,0,0,0,,x`, header);
    assert.deepEqual([at('Top'), at('Middle'), at('Low')], [['x | line:0'], ['x | line:50% align:left'], ['x']]);
  });
  test('what is no event shows nothing', () => assert.deepEqual(shown('ass', 'Comment: too, few, fields'), []));
  test('layers of one event are one cue', () => {
    const packets = [0, 1, 2].map((layer) => packet(`${layer},${layer},Default,,0,0,0,,{\\bord${layer}}Title`));
    assert.deepEqual(
      cuesOf('ass', HEADER, packets).map(({ text }) => text),
      ['Title'],
    );
  });
});

describe('mov_text', () => {
  const sample = (text: Uint8Array | string, ...boxes: Uint8Array[]): Uint8Array => {
    const bytes = typeof text === 'string' ? utf8(text) : text;
    return Buffer.concat([Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes, ...boxes]);
  };
  const style = (from: number, to: number, face: number): Uint8Array =>
    Uint8Array.of(0, from, 0, to, 0, 1, face, 18, 255, 255, 255, 255);

  test('text is literal', () => assert.deepEqual(shown('mov_text', sample('a <b> &amp;')), ['a &lt;b&gt; &amp;amp;']));
  test('UTF-16 behind a byte order mark', () => {
    assert.deepEqual(shown('mov_text', sample(Uint8Array.of(0xfe, 0xff, 0x00, 0x48, 0x20, 0xac))), ['H€']);
    assert.deepEqual(shown('mov_text', sample(Uint8Array.of(0xff, 0xfe, 0x48, 0x00, 0xac, 0x20))), ['H€']);
  });
  test('styles count characters, not bytes', () => {
    const boxes = box('styl', Uint8Array.of(0, 2), style(6, 9, 1), style(2, 4, 2));
    assert.deepEqual(shown('mov_text', sample('é😀ab cdef', boxes)), ['é😀<i>ab</i> c<b>def</b>']);
  });
  test('other boxes are passed over', () => {
    const boxes = [box('hlit', new Uint8Array(4)), box('styl', Uint8Array.of(0, 1), style(0, 2, 4))];
    assert.deepEqual(shown('mov_text', sample('abc', ...boxes)), ['<u>ab</u>c']);
  });
  test('an empty sample shows nothing', () => assert.deepEqual(shown('mov_text', sample('')), []));
  test('lengths that lie take what is there', () => {
    assert.deepEqual(shown('mov_text', Uint8Array.of(255, 255, 0x68, 0x69)), ['hi']);
    assert.deepEqual(shown('mov_text', sample('abc', box('styl', Uint8Array.of(255, 255), style(0, 1, 1)))), [
      '<b>a</b>bc',
    ]);
    assert.deepEqual(shown('mov_text', sample('abc', Uint8Array.of(0, 0, 0, 4, 1, 2, 3, 4))), ['abc']);
  });
});

describe('WebVTT', () => {
  test('S_TEXT/WEBVTT: the text', () => assert.deepEqual(shown('webvtt', 'one\ntwo\nthree'), ['one\ntwo\nthree']));
  test('D_WEBVTT: identifier, settings, text', () => {
    assert.deepEqual(shown('webvtt', '\n\none\ntwo'), ['one\ntwo']);
    assert.deepEqual(shown('webvtt', 'intro\nline:0 align:start region:r\none'), ['one | line:0 align:start']);
    assert.deepEqual(shown('webvtt', 'intro\nline:0 align:start\none'), ['one | line:0 align:start']);
    assert.deepEqual(shown('webvtt', '\nposition:10%,line-left\none'), ['one | position:10%,line-left']);
  });
  test('its own tags stay, timestamps and others go', () => {
    assert.deepEqual(shown('webvtt', '<v Ann>Hi <00:00:01.000><c.red.big>you</c><blink>!</blink></v>'), [
      '<v Ann>Hi <c.red.big>you</c>!</v>',
    ]);
    assert.deepEqual(shown('webvtt', 'a &amp; b --> c < d'), ['a &amp; b --&gt; c &lt; d']);
    assert.deepEqual(shown('webvtt', 'AT&T'), ['AT&amp;T']);
    assert.deepEqual(shown('webvtt', '<v A\u2028B>x <v -->y <v --\u0001>z'), ['&lt;v A\nB&gt;x y z']);
  });
  test('wvtt samples: a cue per vttc', () => {
    const cue = box('vttc', box('iden', utf8('7')), box('sttg', utf8('line:0 size:50%')), box('payl', utf8('one')));
    const other = box('vttc', box('payl', utf8('<i>two</i>')));
    assert.deepEqual(shown('webvtt', Buffer.concat([cue, other])), ['one | line:0 size:50%', '<i>two</i>']);
    assert.deepEqual(shown('webvtt', box('vtte')), []);
    assert.deepEqual(shown('webvtt', Buffer.concat([box('vtta', utf8('note')), cue])), ['one | line:0 size:50%']);
  });
  test('a cue in the samples of its changes is one again', () => {
    const cue = (text: string) => box('vttc', box('payl', utf8(text)));
    const packets = [
      packet(cue('long'), 1, 2),
      packet(Buffer.concat([cue('long'), cue('short')]), 3, 1),
      packet(cue('long'), 4, 1),
      packet(box('vtte'), 5, 2),
      packet(cue('long'), 7, 1),
    ];
    assert.deepEqual(
      cuesOf('webvtt', undefined, packets).map(({ text, start, end }) => [text, start, end]),
      [
        ['long', 1, 5],
        ['short', 3, 4],
        ['long', 7, 8],
      ],
    );
  });
});

describe('times', () => {
  const three = [packet('a', 12.0004, 3), packet('b', 14.9996, 4.0001), packet('c', 25, 1)];

  test('are the presentation’s, in every segment the same, and the mapping changes nothing', () => {
    const cues = cuesOf('subrip', undefined, three);
    const segments = [
      webvttSegment(cues, { startTime: 10, from: Number.NEGATIVE_INFINITY, to: 16 }),
      webvttSegment(cues, { startTime: 10, from: 16, to: 22 }),
      webvttSegment(cues, { startTime: 10, from: 22, to: 24 }),
      webvttSegment(cues, { startTime: 10, from: 24, to: Number.POSITIVE_INFINITY }),
    ];
    const [first, second, third, last] = segments.map(checkWebvtt);
    assert.deepEqual(
      first?.map(({ start, end, text }) => [start, end, text]),
      [
        [2000, 5000, 'a'],
        [5000, 9000, 'b'],
      ],
    );
    assert.deepEqual(second, [first?.[1]]);
    assert.deepEqual(third, []);
    assert.deepEqual(
      last?.map(({ start, text }) => [start, text]),
      [[15_000, 'c']],
    );
    for (const segment of segments) assert.equal(mappedOffset(segment), 0);
    const ids = [...(first ?? []), ...(last ?? [])].map(({ id }) => id);
    assert.equal(new Set(ids).size, 3);
  });

  test('a cue that ends where a segment begins is not in it, one that starts there is', () => {
    const cues = cuesOf('subrip', undefined, [packet('a', 1, 2), packet('b', 3, 2)]);
    const text = (from: number, to: number) => checkWebvtt(webvttSegment(cues, { startTime: 0, from, to }));
    assert.deepEqual(
      text(3, 6).map((cue) => cue.text),
      ['b'],
    );
    assert.deepEqual(
      text(0, 3).map((cue) => cue.text),
      ['a'],
    );
  });

  test('an unknown duration ends with the next cue, or after 5 s', () => {
    const cues = cuesOf('subrip', undefined, [packet('a', 1, 0), packet('b', 3, 0), packet('c', 30, 0)]);
    assert.deepEqual(
      cues.map(({ start, end }) => end - start),
      [2, 5, 5],
    );
  });

  test('what lies before the presentation is cut off', () => {
    const cues = cuesOf('subrip', undefined, [packet('gone', 1, 2), packet('partly', 4, 2)]);
    assert.deepEqual(
      checkWebvtt(webvttSegment(cues, { ...WHOLE, startTime: 5 })).map(({ start, end, text }) => [start, end, text]),
      [[0, 1000, 'partly']],
    );
  });

  test('a moment is shown for a millisecond, and hours have their digits', () => {
    const cues = cuesOf('subrip', undefined, [packet('x', 360_000.5, 0.0001)]);
    assert.match(webvttSegment(cues, WHOLE), /^100:00:00\.500 --> 100:00:00\.501$/m);
  });
});

test('other codecs have no cues', () => assert.deepEqual(shown('hdmv_pgs_subtitle', 'text'), []));

describe('hostile bytes', () => {
  const words = fc.constantFrom(
    ...['<i>', '</b>', '<font', '{\\an8', '{\\p1}', '}', '-->', '\n\n', '\r', '&', '<', '>', '\\N', 'text', ',', '\0'],
    ...['<v ', '<00:00', 'line:0', '\u2028', '\ufeff', 'WEBVTT', '\x1b', '{\\r', '\\t(', '<c.x>', ' ', ':'],
  );
  const soup = fc.array(fc.oneof(words, fc.string({ unit: 'binary', maxLength: 4 })), { maxLength: 40 });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    soup.map((parts) => utf8(parts.join(''))),
    soup.map((parts) => utf8(`0,0,Default,,0,0,0,,${parts.join('')}`)),
    fc
      .tuple(fc.uint8Array({ maxLength: 60 }), soup)
      .map(([noise, parts]) => box('vttc', box('payl', utf8(parts.join(''))), box('sttg', noise))),
    fc.tuple(fc.uint8Array({ maxLength: 40 }), soup).map(([noise, parts]) => {
      const text = utf8(parts.join(''));
      return Buffer.concat([Uint8Array.of(text.length >> 8, text.length & 255), text, box('styl', noise)]);
    }),
  );
  const packets = fc.array(
    fc.record({ data: bytes, pts: fc.double({ min: -1e6, max: 1e6 }), duration: fc.double(), key: fc.boolean() }),
    { maxLength: 6 },
  );
  const codec = fc.constantFrom('subrip', 'ass', 'mov_text', 'webvtt', 'dvd_subtitle');

  test('always give a valid segment', () => {
    fc.assert(
      fc.property(codec, fc.option(bytes, { nil: undefined }), packets, (name, codecPrivate, list) => {
        const cues = cuesOf(name, codecPrivate, list);
        checkWebvtt(webvttSegment(cues, WHOLE));
        checkWebvtt(webvttSegment(cues, { startTime: -3.5, from: 0, to: 100 }));
      }),
      { numRuns: 3000 },
    );
  });

  test('megabytes of brackets, braces and breaks take their length in time', () => {
    for (const unit of ['<', '{', '{\\', '<i', '<i ', '\n', '&', '{\\t(', '<v ', '\\N', '{\\i1}', ' ']) {
      const data = utf8(`x${unit.repeat(2_000_000)}x`);
      for (const name of ['subrip', 'ass', 'mov_text', 'webvtt'] as const) {
        const cues = cuesOf(name, data, [packet(data), packet(Buffer.concat([utf8(',,,,,,,,'), data]))]);
        checkWebvtt(webvttSegment(cues, WHOLE));
      }
    }
  });

  test('of a list without end only so much is looked at', () => {
    const line = packet('x'.repeat(60_000));
    const list = Array.from({ length: 10_000 }, (_, n) => ({ ...line, pts: n }));
    assert.ok(cuesOf('subrip', undefined, list).length < 200);
    const short = Array.from({ length: 100_000 }, (_, n) => packet('x', n));
    assert.equal(cuesOf('subrip', undefined, short).length, 20_000);
  });
});
