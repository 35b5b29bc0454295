/** The ID3 tag at the beginning of a packed audio segment: RFC 8216 section 3.4. */

const OWNER = Buffer.from('com.apple.streaming.transportStreamTimestamp\0', 'latin1');
const MAX_TAGS = 8;

export interface Untagged {
  /** Ticks of 90 kHz, 33 bits; undefined when no tag tells them. */
  readonly timestamp: number | undefined;
  /** What follows the tags. */
  readonly data: Uint8Array;
}

export function untag(bytes: Uint8Array): Untagged {
  let data = bytes;
  let timestamp: number | undefined;
  for (let i = 0; i < MAX_TAGS && data.length >= 10 && data[0] === 0x49 && data[1] === 0x44 && data[2] === 0x33; i++) {
    const size = ((data[6]! & 127) << 21) | ((data[7]! & 127) << 14) | ((data[8]! & 127) << 7) | (data[9]! & 127);
    const tag = data.subarray(10, 10 + size);
    // The one frame of the tag that matters is found by its owner: its frame header has two spellings (ID3v2.3 and 2.4).
    const at = Buffer.from(tag.buffer, tag.byteOffset, tag.length).indexOf(OWNER);
    const value = tag.subarray(at + OWNER.length, at + OWNER.length + 8);
    if (at >= 0 && value.length === 8) {
      const view = new DataView(value.buffer, value.byteOffset, 8);
      timestamp ??= (view.getUint32(0) & 1) * 2 ** 32 + view.getUint32(4);
    }
    data = data.subarray(Math.min(data.length, 10 + size));
  }
  return { timestamp, data };
}
