/**
 * Subtitles that are pictures, whatever the container's coding of them: what is on the screen from a time on, until the next one says otherwise. Each display
 * is complete in itself, so that decoding may begin with any of them.
 */
import type { Packet } from '../types.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A picture in the coding of Blu-ray's Object Definition Segments: run lengths of palette indices. */
export interface DisplayObject extends Size {
  /** Of its upper left corner on the canvas. */
  readonly x: number;
  readonly y: number;
  readonly isForced: boolean;
  /** Coded lines, in one or more parts. */
  readonly data: readonly Uint8Array[];
}

export interface Display {
  /** Seconds on the source's clock. */
  readonly time: number;
  readonly canvas: Size;
  /** Entries of 5 bytes: index, Y, Cr, Cb, alpha (Palette Definition Segment). */
  readonly palette: Uint8Array;
  /** None: the screen is cleared. */
  readonly objects: readonly DisplayObject[];
}

/** From the packets of one track, in order of time, to what they show. Hostile bytes show nothing, and are no error. */
export interface DisplayDecoder {
  /** What the canvas probably is as long as no display has told. */
  readonly usualCanvas: Size;
  /** The displays that are complete with this packet, in order of time; their memory is their own. */
  push(packet: Packet): Display[];
}
