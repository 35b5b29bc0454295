import { ApiError, problemFrom } from './api.js';
import { codecName, codecStringName } from './format.js';
import Hls from './vendor/hls.mjs';

/**
 * @typedef {import('./vendor/hls.mjs').ErrorData} ErrorData
 * @typedef {import('./api.js').SessionInfo} SessionInfo
 * @typedef {{ title: string, detail: string, skipTo?: number | undefined }} Failure What went wrong, for the person who pressed play.
 * `skipTo`: seconds, where it may go on when one part of the video is to blame.
 */

const { ErrorDetails, ErrorTypes } = Hls;

/**
 * The problem that the server answered to a request of hls.js.
 * @param {ErrorData} data
 * @returns {ApiError | undefined} undefined when the failure is no answer of the server
 */
export function answeredProblem(data) {
  const xhr = data.networkDetails;
  if (!(xhr instanceof XMLHttpRequest) || xhr.status < 400) return undefined;
  /** @type {unknown} */
  const body = xhr.response;
  const text = body instanceof ArrayBuffer ? new TextDecoder().decode(body) : String(body ?? '');
  return problemFrom(xhr.status, text);
}

/**
 * The video element's own error.
 * @param {MediaError | null} error
 * @returns {Failure}
 */
export function describeMediaError(error) {
  return { title: 'The video could not be played', detail: error?.message || 'This browser gave no reason.' };
}

/**
 * A fatal error of hls.js in words.
 * @param {ErrorData} data
 * @returns {Failure}
 */
export function describeError(data) {
  const problem = answeredProblem(data);
  if (problem !== undefined) return { ...describeProblem(problem), skipTo: data.frag?.end };
  if (data.type === ErrorTypes.NETWORK_ERROR) {
    return isTimeout(data)
      ? {
          title: 'The server takes too long',
          detail: 'It was asked for the next part of the video and has not answered in time.',
        }
      : { title: 'The stream could not be read', detail: `The server’s answer was not understood (${data.details}).` };
  }
  if (
    data.details === ErrorDetails.BUFFER_ADD_CODEC_ERROR ||
    data.details === ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR
  ) {
    const codec = data.mimeType === undefined ? 'one of its tracks' : codecStringName(codecOf(data.mimeType));
    return { title: 'This browser cannot play it', detail: `It has no decoder for ${codec}.` };
  }
  return {
    title: 'The video could not be decoded',
    detail: `This browser gave up on it: ${data.error?.message ?? data.details}.`,
  };
}

/** @param {ErrorData} data */
function isTimeout(data) {
  return /TimeOut$/i.test(data.details);
}

/** @param {string} mimeType */
function codecOf(mimeType) {
  return /codecs="?([^";]+)/.exec(mimeType)?.[1] ?? mimeType;
}

/**
 * @param {unknown} error
 * @returns {Failure}
 */
export function describeProblem(error) {
  if (!(error instanceof ApiError)) return { title: 'Something went wrong', detail: String(error) };
  if (error.status === 0) return { title: 'The server does not answer', detail: error.message };
  /** @type {Record<string, string>} */
  const titles = {
    'bad-request': 'That is not a source',
    'source-not-found': 'It was not found',
    'source-not-regular': 'That is not a file',
    'source-empty': 'The file is empty',
    'source-forbidden': 'That source is not allowed',
    'source-not-allowed': 'That source is not allowed',
    'server-full': 'The server has too much to do',
    'too-many-requests': 'Too many requests',
    'source-unreachable': 'The source cannot be reached',
    'source-http-status': 'The source refused',
    'source-stalled': 'The source stopped answering',
    'source-truncated': 'The file ends too early',
    'source-changed': 'The file has changed',
    'torrent-invalid': 'That is not a torrent',
    'torrent-unsupported': 'That torrent is of another kind',
    'torrent-no-metadata': 'Nobody has this torrent',
    'torrent-no-file': 'There is no video in it',
    'torrent-disk-full': 'The server’s disk is full',
    'media-unrecognised': 'That is not a video',
    'media-damaged': 'The file is damaged',
    'media-not-playable': 'It cannot be played yet',
    'probe-timeout': 'The source is too slow',
    'segment-timeout': 'The source is too slow',
    'server-closing': 'The server is shutting down',
  };
  return { title: titles[error.code] ?? 'It cannot be played', detail: error.message };
}

/**
 * Why hls.js found no variant that this browser decodes.
 * @param {ErrorData} data
 * @param {SessionInfo | undefined} info
 * @returns {{ failure: Failure, videoOnly: boolean }} `videoOnly`: the picture can be played, without its sound
 */
export function describeCodecs(data, info) {
  const streams = (info?.availableStreams ?? []).filter((stream) => stream.delivery !== 'omitted');
  const missing = streams.filter(
    (stream) => stream.codecString !== undefined && !decodes(stream.type, stream.codecString),
  );
  const names = missing.map((stream) => codecName(stream.codec));
  const video = streams.filter((stream) => stream.type === 'video');
  const videoOnly = video.length > 0 && missing.length > 0 && !missing.some((stream) => stream.type === 'video');
  const said =
    names.length > 0
      ? [...new Set(names)].join(' and ')
      : [...new Set((data.reason ?? '').match(/[A-Za-z0-9-]+(\.[A-Za-z0-9]+)+|[ae]c-3|Opus|fLaC/g) ?? ['its codecs'])]
          .filter((codec) => !decodes('video', codec))
          .map(codecStringName)
          .join(' or ');
  return {
    failure: {
      title: 'It cannot be played here',
      detail: `This browser has no decoder for ${said}. Another one may.`,
    },
    videoOnly,
  };
}

/**
 * Whether this browser has a decoder.
 * @param {string} type `video` or `audio`
 * @param {string} codecString
 */
export function decodes(type, codecString) {
  const MediaSourceClass = Hls.getMediaSource();
  return MediaSourceClass?.isTypeSupported(`${type}/mp4; codecs="${codecString}"`) ?? false;
}
