import type { Packet, PacketBatch } from '../media/types.ts';

/**
 * Batches of video as groups: a key frame and what follows it in decode order up to the next one; before the first key frame, what there is. Times are moved by
 * `-startTime`. A group's memory is valid until the next one is asked for; batches are disposed of when nothing of them is left.
 */
export async function* groupsOf(
  batches: AsyncIterable<PacketBatch>,
  startTime: number,
): AsyncGenerator<readonly Packet[], void> {
  let held: PacketBatch[] = [];
  let group: Packet[] = [];
  const release = (keep: number): void => {
    for (const batch of held.splice(0, held.length - keep)) batch[Symbol.dispose]();
  };
  try {
    for await (const batch of batches) {
      held.push(batch);
      for (const packet of batch.packets) {
        if (packet.key && group.length > 0) {
          yield group;
          group = [];
          release(1);
        }
        group.push({ ...packet, pts: packet.pts - startTime });
      }
    }
    if (group.length > 0) yield group;
  } finally {
    release(0);
    held = [];
  }
}
