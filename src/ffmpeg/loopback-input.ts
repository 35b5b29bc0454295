/** What FFmpeg's commands may do with our loopback reader, and nothing else with anything. */

/**
 * Containers with media of their own: no playlists, no lists of files, no pictures, nothing that names other files. First those that only FFmpeg
 * reads, then those that we read ourselves, for files so damaged that we do not.
 */
const CONTAINERS = [
  ...['avi', 'asf', 'flv', 'live_flv', 'rm', 'mpeg', 'mpegvideo', 'mxf', 'nut', 'nsv', 'ivf', 'wtv', 'dv', 'gxf'],
  ...['aiff', 'au', 'caf', 'ape', 'wv', 'tta', 'amr', 'ac3', 'eac3', 'dts', 'dtshd', 'truehd', 'w64', 'mpc', 'mpc8'],
  ...['bink', 'smk', 'roq', 'vivo', 'nuv', 'ogg', 'tak', 'oma', 'dsf', 'xwma', 'm4v', 'h264', 'hevc', 'vc1'],
  ...['matroska', 'mov', 'mpegts', 'mp3', 'aac', 'flac', 'wav'],
].join(',');

/**
 * Options that stand before `-i`, and the input itself: HTTP over TCP to `url` alone, no redirect, no proxy whatever the environment says, no
 * demuxer that would open something else, no picture so large that it would take all memory.
 */
export function loopbackInput(url: string, seeking: readonly string[] = []): string[] {
  return [
    ...['-protocol_whitelist', 'http,tcp', '-format_whitelist', CONTAINERS, '-max_redirects', '0', '-http_proxy', ''],
    ...['-max_pixels', '36000000', ...seeking, '-i', url],
  ];
}
