/** What a sequence header of MPEG-1 or MPEG-2 video tells (ITU-T H.262, 6.2.2.1). */
export interface SequenceHeader {
  readonly width: number;
  readonly height: number;
  /** Width after the sample aspect ratio. */
  readonly displayWidth: number;
  readonly frameRate: number | undefined;
}

const FRAME_RATES = [24_000 / 1001, 24, 25, 30_000 / 1001, 30, 50, 60_000 / 1001, 60];
/** Display aspect ratios of table 6-3, from code 2; code 1 means square samples. */
const DISPLAY_ASPECTS = [4 / 3, 16 / 9, 2.21];
const SEQUENCE_HEADER_CODE = Uint8Array.of(0, 0, 1, 0xb3);

/** The first sequence header in a packet; undefined when there is none that makes sense. */
export function sequenceHeader(packet: Uint8Array): SequenceHeader | undefined {
  const at = Buffer.from(packet.buffer, packet.byteOffset, packet.length).indexOf(SEQUENCE_HEADER_CODE);
  if (at < 0 || at + 8 > packet.length) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = packet.subarray(at + 4, at + 8);
  const width = (a << 4) | (b >> 4);
  const height = ((b & 15) << 8) | c;
  if (width === 0 || height === 0) return undefined;
  const aspect = DISPLAY_ASPECTS[(d >> 4) - 2];
  const displayWidth = aspect === undefined ? width : Math.round(height * aspect);
  return { width, height, displayWidth, frameRate: FRAME_RATES[(d & 15) - 1] };
}
