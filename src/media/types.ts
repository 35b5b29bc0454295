/**
 * What the readers tell about a container, and what they give. All times are presentation times in seconds on the
 * source's own clock, edit lists and codec delays applied; they may be negative or start far from zero.
 * `MediaInfo.startTime` is subtracted further up, once, by the timeline.
 */

export type TrackType = 'video' | 'audio' | 'subtitle';

/** Canonical codec names (those of FFmpeg): only these can be copied into fMP4. Any other string is a codec that cannot. */
export type CopyCodec = 'h264' | 'hevc' | 'av1' | 'vp9' | 'aac' | 'ac3' | 'eac3' | 'opus' | 'flac' | 'mp3';

/** What an fMP4 sample description and a playlist need to know of a codec. Made by `media/codecs`. */
export interface CodecConfig {
  readonly codec: CopyCodec;
  /** Sample entry type (four characters): avc1, hvc1, av01, vp09, mp4a, ac-3, ec-3, Opus, fLaC. */
  readonly sampleEntry: string;
  /** The complete configuration box that goes into the sample entry (avcC, hvcC, av1C, vpcC, esds, dac3, dec3, dOps, dfLa), with its header. */
  readonly configBox: Uint8Array;
  /** RFC 6381, as it stands in CODECS. */
  readonly codecString: string;
  readonly video?: {
    /** Coded picture after cropping, in samples. */
    readonly width: number;
    readonly height: number;
    readonly bitDepth: number;
    /** Frames per second as the bitstream declares it, when it does. */
    readonly frameRate?: number;
    /** Frames that precede any frame in decoding order and follow it in output order, at most; absent: none. */
    readonly reorderFrames?: number;
    readonly colour?: ColourInfo;
    /** Sample aspect ratio of the bitstream, when it declares one. */
    readonly pixelAspect?: readonly [number, number];
  };
  readonly audio?: {
    /** Hz; of the core for HE-AAC: the clock in which `frameSamples` counts. */
    readonly sampleRate: number;
    readonly channels: number;
    /** Samples in each packet, when all packets have the same. */
    readonly frameSamples?: number;
    /** Bits of a sample, where the coding keeps them (FLAC). */
    readonly bitDepth?: number;
  };
}

/** Code points of ISO/IEC 23091-2 (CICP). */
export interface ColourInfo {
  readonly primaries: number;
  readonly transfer: number;
  readonly matrix: number;
  readonly fullRange: boolean;
}

export type HdrKind = 'sdr' | 'hdr10' | 'hlg' | 'dolby-vision';

export interface Track {
  /** The container's own number, unique in the file. */
  readonly id: number;
  readonly type: TrackType;
  /** Position among the tracks of its type, from 0: what clients call `index`. */
  readonly index: number;
  /** A CopyCodec, or FFmpeg's name of another codec (`dts`, `truehd`, `vorbis`, `subrip`, `ass`, `hdmv_pgs_subtitle`, `mov_text`, ...). */
  readonly codec: string;
  /** Present exactly when the track can be copied into fMP4. */
  readonly config?: CodecConfig;
  /** Why it can't be copied, in words; present exactly when `config` is absent and the track is video or audio, or FFmpeg reads the source. */
  readonly notCopied?: string;
  /** Nobody can decode it: it is encrypted, or stored in a way that the reader can't undo. */
  readonly unreadable?: true;
  /** BCP 47 or ISO 639-2 as the container has it; absent when undetermined. */
  readonly language?: string;
  readonly title?: string;
  readonly isDefault: boolean;
  readonly isForced: boolean;
  /** Presentation time of the first packet that is not priming, when known. */
  readonly startTime?: number;
  /** Presentation end of the last packet, when known. */
  readonly endTime?: number;
  /** Bits per second over the whole track, when the container tells or the index does. */
  readonly bitrate?: number;
  readonly video?: {
    readonly width: number;
    readonly height: number;
    /** Display size after sample aspect ratio, before rotation. */
    readonly displayWidth: number;
    readonly displayHeight: number;
    /** Clockwise, degrees. */
    readonly rotation: 0 | 90 | 180 | 270;
    /** Frames per second, when known. */
    readonly frameRate?: number;
    readonly bitDepth?: number;
    readonly hdr: HdrKind;
    readonly colour?: ColourInfo;
  };
  readonly audio?: {
    readonly sampleRate: number;
    readonly channels: number;
  };
  /** Subtitle and foreign tracks: the container's codec private data. */
  readonly codecPrivate?: Uint8Array;
  /**
   * Subtitle and foreign tracks: Matroska's CodecID and CodecPrivate (content encodings undone), where `codec` and `codecPrivate` alone
   * would not do: as the file has them, or the QuickTime sample entry in V_QUICKTIME or A_QUICKTIME.
   */
  readonly matroska?: { readonly codecId: string; readonly codecPrivate?: Uint8Array };
}

export interface Chapter {
  /** Seconds on the source's clock. */
  readonly startTime: number;
  readonly endTime: number;
  readonly title: string;
}

export interface Attachment {
  readonly name: string;
  readonly mimeType: string;
  /** Byte range in the source. */
  readonly offset: number;
  readonly size: number;
}

export interface MediaInfo {
  /** `matroska`, `webm`, `mp4`, `mov`, `mpegts`, `ogg`, `mp3`, `flac`, `wav`, `adts`, ... */
  readonly container: string;
  /** Presentation time at which the programme starts: the lowest over all audio and video tracks, priming left out. */
  readonly startTime: number;
  /** Seconds from `startTime` to the end of the longest audio or video track. */
  readonly duration: number;
  readonly tracks: readonly Track[];
  /** The video track that is played: the default or first one that is not a still picture. */
  readonly videoTrackId?: number;
  readonly chapters: readonly Chapter[];
  readonly attachments: readonly Attachment[];
}

/**
 * The random access points of the played video track, or, without video, places where reading may start.
 * All arrays have the same length >= 1.
 */
export interface KeyframeIndex {
  /** Presentation time of each key frame, strictly ascending. */
  readonly times: Float64Array;
  /**
   * Lowest presentation time among the frames from this key frame (inclusive) up to the next one (exclusive) in decode order: lower than
   * `times[i]` where leading pictures follow an open group of pictures, else equal.
   */
  readonly starts: Float64Array;
  /** Byte position from which reading key frame i makes sense; ascending. For byte maps and bit rates. */
  readonly positions: Float64Array;
}

/** One segment's share of the source. */
export interface Cut {
  /**
   * Presentation times on the source's clock, from inclusive, to exclusive; -Infinity and +Infinity at the ends. Audio and subtitle packets belong to the cut
   * in which their (snapped) presentation time falls.
   */
  readonly from: number;
  readonly to: number;
  /**
   * Positions in the KeyframeIndex, from inclusive, to exclusive (`times.length` at the end): video packets belong to the cut by decode order, from
   * key frame `fromKey` to just before key frame `toKey`. Both absent on a grid (no index): then video starts at the first key
   * frame at or after `from` if there is one before `to`, else with the first frame in decode order whose time is >= `from`; and ends where the next cut starts.
   */
  readonly fromKey?: number;
  readonly toKey?: number;
  /** On a grid: `to` of the cut after this one, so that this one ends exactly where that one starts. Absent: it is as long as this one. */
  readonly nextTo?: number;
}

export interface Packet {
  /** The payload as it stands in fMP4 (length-prefixed NAL units, raw AAC frames, ...). May be a view of the batch's memory. */
  readonly data: Uint8Array;
  /** Presentation time, seconds on the source's clock. A deterministic function of the packet, whichever cut asked for it. */
  readonly pts: number;
  /** Seconds; 0 when unknown. */
  readonly duration: number;
  readonly key: boolean;
}

/** Packets of one track in decode order. Their data is valid until the batch is disposed. */
export interface PacketBatch extends Disposable {
  readonly packets: readonly Packet[];
  /**
   * Video only: the lowest presentation time of what follows the last packet in decode order, i.e. where the next cut really starts (leading
   * pictures counted); absent at the end of the track or when unknown.
   */
  readonly nextStart?: number;
}

/** An opened container. Stateless towards its callers: any cut, any order, concurrently, the same packets every time. */
export interface MediaReader extends AsyncDisposable {
  readonly info: MediaInfo;
  /** It can tell what is in the file, and read none of it. */
  readonly describedOnly?: true;
  /** Bytes of the media, as far as can be told, where they are not the source's own. */
  readonly size?: number;
  /** Absent when the container carries no index; then `scan` makes it. */
  readonly keyframes?: KeyframeIndex;
  /**
   * Makes the index by reading through the source; on the way, cuts on a grid can be read already. Shared by concurrent callers
   * is not its concern: the presentation calls it once.
   */
  scan(signal: AbortSignal): Promise<KeyframeIndex>;
  /**
   * The packets of one track in one cut; none is a valid answer.
   * @throws AppError `media-damaged`, `source-*`; the signal's reason.
   */
  read(trackId: number, cut: Cut, signal: AbortSignal): Promise<PacketBatch>;
}
