/** What playlists of HTTP Live Streaming (RFC 8216 section 4) say, as far as it matters here. */

/** What is wrong with a playlist, as the end of a sentence that begins with its name. */
export class PlaylistError extends Error {
  /** `unplayable`: it is in order, and nothing that this server plays; `live`: it goes on growing. */
  readonly kind: 'damaged' | 'unplayable' | 'live';

  constructor(message: string, kind: PlaylistError['kind'] = 'damaged') {
    super(message);
    this.kind = kind;
  }
}

/** Bytes of another resource: `offset` inclusive. */
export interface SubRange {
  readonly offset: number;
  readonly length: number;
}

/** EXT-X-MAP: what a segment needs before it. One object for all segments that it stands for. */
export interface MapTag {
  readonly uri: string;
  readonly range?: SubRange;
  readonly key?: KeyTag;
}

/** EXT-X-KEY: how segments are encrypted. */
export interface KeyTag {
  /** Anything but AES-128 cannot be undone. */
  readonly method: string;
  readonly uri: string;
  readonly iv?: Uint8Array;
  readonly keyFormat: string;
}

export interface PlaylistSegment {
  readonly uri: string;
  /** Seconds, 0 or more. */
  readonly duration: number;
  readonly range?: SubRange;
  readonly map?: MapTag;
  readonly key?: KeyTag;
  /** Media Sequence Number: the initialization vector where the key tells none. */
  readonly sequence: number;
  /** Discontinuity Sequence Number: segments of one region have one clock. */
  readonly region: number;
  /** EXT-X-GAP: its server says that it is missing. */
  readonly gap: boolean;
}

export interface MediaPlaylist {
  readonly kind: 'media';
  /** At least one. */
  readonly segments: readonly PlaylistSegment[];
}

export interface VariantTag {
  readonly uri: string;
  /** Bits per second. */
  readonly bandwidth: number;
  /** RFC 6381; undefined where the playlist does not say. */
  readonly codecs?: readonly string[];
  readonly height?: number;
  readonly audioGroup?: string;
  readonly subtitlesGroup?: string;
}

export interface RenditionTag {
  readonly type: 'AUDIO' | 'SUBTITLES';
  readonly groupId: string;
  readonly name: string;
  readonly language?: string;
  readonly isDefault: boolean;
  readonly isForced: boolean;
  /** Absent: it is in the variant's own segments. */
  readonly uri?: string;
}

export interface MultivariantPlaylist {
  readonly kind: 'multivariant';
  /** At least one. */
  readonly variants: readonly VariantTag[];
  readonly renditions: readonly RenditionTag[];
}
