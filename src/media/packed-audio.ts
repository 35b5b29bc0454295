import { type PresentedPackets, presented } from './presented.ts';

const TIMESTAMP_OWNER = 'com.apple.streaming.transportStreamTimestamp\0';
const TIMESTAMP_CLOCK = 90_000;

/**
 * A packed audio segment (RFC 8216bis, 3.1.4): an ID3 tag whose PRIV frame carries the presentation time of the first sample on the MPEG-2 clock (33 bits of
 * 90 kHz), then the frames as they are. For MP3, which no browser takes inside fMP4.
 * @param allocate gives the memory of the result, all of which is overwritten.
 */
export function packedAudioSegment(input: PresentedPackets, allocate: (length: number) => Uint8Array): Uint8Array {
  const packets = presented(input);
  const first = packets[0] ? Math.max(0, Math.round((packets[0].pts - input.startTime) * TIMESTAMP_CLOCK)) : 0;
  const tag = timestampTag(first);
  const segment = allocate(packets.reduce((size, { data }) => size + data.length, tag.length));
  segment.set(tag, 0);
  let position = tag.length;
  for (const { data } of packets) {
    segment.set(data, position);
    position += data.length;
  }
  return segment;
}

/** ID3v2.4 with one PRIV frame. All sizes are below 128, so that syncsafe and plain integers are the same. */
function timestampTag(timestamp: number): Buffer {
  const frameSize = TIMESTAMP_OWNER.length + 8;
  const tag = Buffer.alloc(10 + 10 + frameSize);
  tag.write('ID3\x04\0\0', 0, 'latin1');
  tag.writeUInt32BE(10 + frameSize, 6);
  tag.write('PRIV', 10, 'latin1');
  tag.writeUInt32BE(frameSize, 14);
  tag.write(TIMESTAMP_OWNER, 20, 'latin1');
  tag.writeBigUInt64BE(BigInt(timestamp) & 0x1ffffffffn, 20 + TIMESTAMP_OWNER.length);
  return tag;
}
