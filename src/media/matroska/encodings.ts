/** Content encodings: what a writer did to frames and to CodecPrivate before storing them (RFC 9559, section 5.1.4.1.31). */
import { inflateSync } from 'node:zlib';
import type { ElementCursor } from './ebml.ts';
import { ID } from './ids.ts';

const SCOPE_FRAMES = 1;
const SCOPE_PRIVATE = 2;
const ALGORITHM_ZLIB = 0;
const ALGORITHM_HEADER_STRIPPING = 3;
const ALGORITHM_NAMES = ['zlib', 'bzip2', 'lzo', 'header stripping'];
/** No frame is larger: what inflates to more is a bomb. */
const MAX_INFLATED = 32 * 1024 * 1024;
const MAX_HEADER_STRIPPED = 64 * 1024;

interface Step {
  readonly order: number;
  readonly scope: number;
  /** Header stripping: the stripped bytes. Absent for zlib. */
  readonly header?: Uint8Array;
}

export interface ContentEncodings {
  /** In the order in which they are undone. */
  readonly steps: readonly Step[];
  /** Why this track's data can't be had, in words. */
  readonly unreadable?: string;
}

export const NO_ENCODINGS: ContentEncodings = { steps: [] };

/** @param at a cursor on a ContentEncodings element. */
export function parseEncodings(at: ElementCursor): ContentEncodings {
  const steps: Step[] = [];
  let unreadable: string | undefined;
  const list = at.enter();
  while (list.next()) {
    if (list.id !== ID.ContentEncoding) continue;
    const step = parseEncoding(list.enter());
    if (typeof step === 'string') unreadable = step;
    else if (steps.length < 8) steps.push(step);
  }
  // "Decoders MUST start with the highest ContentEncodingOrder" (section 5.1.4.1.31.2).
  steps.sort((a, b) => b.order - a.order);
  return unreadable === undefined ? { steps } : { steps, unreadable };
}

function parseEncoding(at: ElementCursor): Step | string {
  let order = 0;
  let scope = SCOPE_FRAMES;
  let type = 0;
  let algorithm = ALGORITHM_ZLIB;
  let header: Uint8Array | undefined;
  while (at.next()) {
    if (at.id === ID.ContentEncodingOrder) order = at.uint();
    else if (at.id === ID.ContentEncodingScope) scope = at.uint();
    else if (at.id === ID.ContentEncodingType) type = at.uint();
    else if (at.id === ID.ContentCompression) {
      const inner = at.enter();
      while (inner.next()) {
        if (inner.id === ID.ContentCompAlgo) algorithm = inner.uint();
        else if (inner.id === ID.ContentCompSettings && inner.stop - inner.start <= MAX_HEADER_STRIPPED) {
          header = inner.bytes();
        }
      }
    }
  }
  if (type === 1) return 'the track is encrypted';
  if (type !== 0) return 'the track is stored with an unknown content encoding';
  if (algorithm === ALGORITHM_ZLIB) return { order, scope };
  if (algorithm === ALGORITHM_HEADER_STRIPPING) return { order, scope, header: header ?? new Uint8Array(0) };
  return `the track's packets are compressed with ${ALGORITHM_NAMES[algorithm] ?? 'an unknown method'}`;
}

/** Whether frames can be given as they are stored. */
export function framesAreStored(encodings: ContentEncodings): boolean {
  return !encodings.steps.some((step) => (step.scope & SCOPE_FRAMES) !== 0);
}

/** A frame as the codec made it; undefined when it is damaged. The result is a copy whenever something had to be undone. */
export function decodeFrame(encodings: ContentEncodings, data: Uint8Array): Uint8Array | undefined {
  return decode(encodings, data, SCOPE_FRAMES);
}

/** CodecPrivate as the codec made it; undefined when it is damaged. */
export function decodePrivate(encodings: ContentEncodings, data: Uint8Array): Uint8Array | undefined {
  return decode(encodings, data, SCOPE_PRIVATE);
}

function decode(encodings: ContentEncodings, data: Uint8Array, scope: number): Uint8Array | undefined {
  let bytes = data;
  for (const step of encodings.steps) {
    if ((step.scope & scope) === 0) continue;
    if (step.header === undefined) {
      try {
        bytes = new Uint8Array(inflateSync(bytes, { maxOutputLength: MAX_INFLATED }));
      } catch {
        return undefined;
      }
    } else if (step.header.length > 0) {
      const whole = new Uint8Array(step.header.length + bytes.length);
      whole.set(step.header);
      whole.set(bytes, step.header.length);
      bytes = whole;
    }
  }
  return bytes;
}
