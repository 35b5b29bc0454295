import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { admit } from './description.ts';

const HEAD = ['v=0', 'o=rtc 1 0 IN IP4 127.0.0.1', 's=-', 't=0 0'];
const MEDIA = 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel';
const sdp = (...lines: readonly string[]): string => [...HEAD, ...lines, ''].join('\r\n');
const candidate = (host: string, port = 1000, transport = 'UDP'): string =>
  `a=candidate:1 1 ${transport} 2114977791 ${host} ${port} typ host`;

test('candidates at addresses that a stranger may not send us to are left out', () => {
  const good = [candidate('8.8.8.8'), candidate('2606:4700::1'), candidate('192.168.1.5')];
  const bad = [
    candidate('127.0.0.1'),
    candidate('::1'),
    candidate('169.254.169.254'),
    candidate('0.0.0.0'),
    candidate('224.0.0.1'),
    candidate('a1b2.local'),
    candidate('metadata.internal'),
    candidate('8.8.8.8', 0),
    candidate('8.8.8.8', 70_000),
    candidate('8.8.8.8', 9, 'TCP'),
    'a=candidate:',
  ];
  const offer = { type: 'offer', sdp: sdp(MEDIA, ...good, ...bad, 'a=mid:0') };
  assert.deepEqual(admit(offer, 'offer', 'private'), { type: 'offer', sdp: sdp(MEDIA, ...good, 'a=mid:0') });
  const local = { type: 'answer', sdp: sdp(MEDIA, candidate('127.0.0.1'), candidate('224.0.0.1')) };
  assert.deepEqual(admit(local, 'answer', 'loopback'), { type: 'answer', sdp: sdp(MEDIA, candidate('127.0.0.1')) });
});

test('who is on the Internet names no address of this network', () => {
  const offer = { type: 'offer', sdp: sdp(MEDIA, candidate('192.168.1.5'), candidate('8.8.8.8')) };
  assert.equal(admit(offer, 'offer', 'public')?.sdp, sdp(MEDIA, candidate('8.8.8.8')));
});

test('at most thirty candidates are tried', () => {
  const many = Array.from({ length: 60 }, (_, n) => candidate('8.8.8.8', 1000 + n));
  const admitted = admit({ type: 'offer', sdp: sdp(MEDIA, ...many) }, 'offer', 'public');
  assert.equal(admitted?.sdp.match(/a=candidate/g)?.length, 30);
});

test('what is not a description of one data channel is refused', () => {
  const offer = (text: unknown): unknown => ({ type: 'offer', sdp: text });
  for (const bad of [
    undefined,
    null,
    'v=0',
    {},
    { type: 'offer' },
    { type: 'answer', sdp: sdp(MEDIA) },
    offer(7),
    offer(''),
    offer(sdp()),
    offer(sdp(MEDIA, MEDIA)),
    offer(sdp('m=video 9 UDP/TLS/RTP/SAVPF 96')),
    offer(sdp(MEDIA, 'a=x\u0000y')),
    offer(sdp(MEDIA, 'no line')),
    offer(sdp(MEDIA, ...new Array<string>(300).fill('a=x'))),
    offer(sdp(MEDIA, `a=${'x'.repeat(20_000)}`)),
  ])
    assert.equal(admit(bad, 'offer', 'loopback'), undefined, JSON.stringify(bad)?.slice(0, 100));
});

test('nothing makes it throw, and nothing with a loopback candidate gets through', () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom(MEDIA, ...HEAD, candidate('127.0.0.1'), candidate('8.8.8.8'), 'A=CANDIDATE:1'),
  );
  fc.assert(
    fc.property(fc.array(line), fc.constantFrom('\n', '\r\n', '\r'), fc.boolean(), (lines, end, whole) => {
      const text = (whole ? [...HEAD, MEDIA, ...lines] : lines).join(end);
      const admitted = admit({ type: 'offer', sdp: text }, 'offer', 'public');
      assert.ok(!/candidate.* 127\.0\.0\.1 /i.test(admitted?.sdp ?? ''));
    }),
  );
});
