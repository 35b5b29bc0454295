/** Fragmented MP4 of one video track, as an encoder writes it, back to packets. */
import { BoxError, boxes, bytesOf, child, viewOf } from '../isobmff/boxes.ts';
import { parseFragment } from '../isobmff/fragment.ts';
import type { Packet } from '../types.ts';

const STSD_HEADER = 8;
const VISUAL_SAMPLE_ENTRY = 78;

/** AVCDecoderConfigurationRecord in an initialization segment. @throws BoxError when it has none. */
export function avcRecordOf(init: Uint8Array): Uint8Array {
  let view: DataView | undefined = viewOf(init);
  for (const type of ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd']) view = view && child(view, type);
  const entry = view && [...boxes(view, STSD_HEADER)].find(({ type }) => type === 'avc1');
  const record = entry && [...boxes(entry.view, VISUAL_SAMPLE_ENTRY)].find(({ type }) => type === 'avcC');
  if (!record) throw new BoxError('the encoded video has no H.264 sample description');
  return bytesOf(record.view).slice();
}

/** Packets of a `moof` and its `mdat`, in decode order: views of `bytes`. @param timescale ticks per second. @throws BoxError. */
export function packetsOfFragment(bytes: Uint8Array, timescale: number): Packet[] {
  const [moof] = boxes(viewOf(bytes));
  if (moof?.type !== 'moof') throw new BoxError('a fragment does not begin with its header (moof)');
  const context = { offset: 0, fileSize: bytes.length, defaults: new Map(), nextTime: () => 0 };
  return parseFragment(moof.view, context).flatMap((track) =>
    track.offsets.map((offset, i) => ({
      data: bytes.subarray(offset, offset + (track.sizes[i] as number)),
      pts: ((track.decode[i] as number) + (track.composition[i] as number)) / timescale,
      duration: (track.durations[i] as number) / timescale,
      key: track.keys[i] as boolean,
    })),
  );
}
