/** The part of FFmpeg's command lines that puts subtitles into the picture: after all that changes its size and colours, so that they are as sharp as it gets. */

export type BurnInJob =
  | {
      /** Display sets of PGS are the second track of the input. */
      readonly kind: 'pictures';
      /** What their pictures are placed on; it is stretched over the video's. */
      readonly canvas: { readonly width: number; readonly height: number };
    }
  | {
      readonly kind: 'text';
      /** A Matroska file with the subtitles as its only track, on the input's clock. Absolute path. */
      readonly file: string;
      /** A folder with nothing but fonts, which come before the system's. Absolute path. */
      readonly fonts: string;
    };

/** Later than any film ends, and earlier than 2^32 ms. Seconds. */
const LATEST = 4_000_000;

interface Picture {
  readonly width: number;
  readonly height: number;
}

/** Options of the input. */
export function burnInOptions(job: BurnInJob | undefined): string[] {
  // As little as is looked into the feed, no subtitle would have come by: their size must be told.
  return job?.kind === 'pictures' ? ['-canvas_size', `${job.canvas.width}x${job.canvas.height}`] : [];
}

/** The filters of the video, and what is mapped. @param before what makes BT.709 of the size that it will have. @param after what the encoder needs. */
export function burnInFilter(
  before: readonly string[],
  after: readonly string[],
  { width, height }: Picture,
  job: BurnInJob,
): string[] {
  if (job.kind === 'text') {
    const text = `subtitles=filename=${escaped(job.file)}:fontsdir=${escaped(job.fonts)}:original_size=${width}x${height}`;
    return ['-map', '0:v:0', '-vf', [...before, 'format=yuv420p', text, ...after].join(',')];
  }
  const pictures = `scale=${width}:${height}:flags=bicubic:out_color_matrix=bt709:out_range=tv,format=yuva420p`;
  const graph = [
    `[0:v:0]${before.join(',')},format=yuv420p[video]`,
    `[0:s:0]${pictures}[pictures]`,
    // At the end of the input FFmpeg clears the screen, 2^32 ms after the last set: no frame may come of that.
    `[video][pictures]${['overlay=format=yuv420:eof_action=pass', `trim=end=${LATEST}`, ...after].join(',')}[out]`,
  ];
  return ['-filter_complex', graph.join(';'), '-map', '[out]'];
}

/**
 * A path as the value of an option in a filter graph (ffmpeg-filters, "Notes on filtergraph escaping"): once for the filter's options, once for the graph. FFmpeg
 * takes forward slashes on Windows too.
 */
export function escaped(path: string, windows = process.platform === 'win32'): string {
  const plain = windows ? path.replaceAll('\\', '/') : path;
  return plain.replace(/[\\':]/g, '\\$&').replace(/[\\'[\],;]/g, '\\$&');
}
