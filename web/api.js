/**
 * The HTTP contract, as far as the page uses it. Times are seconds.
 *
 * @typedef {object} Session What `POST /sessions` answers.
 * @property {string} id
 * @property {string} streamUrl
 * @property {string} status
 *
 * @typedef {object} StreamInfo One track of the source.
 * @property {number} index Position among the tracks of its type.
 * @property {string} type `video`, `audio` or `subtitle`.
 * @property {string} codec FFmpeg's name.
 * @property {string} [language]
 * @property {string} [title]
 * @property {string} [delivery] `copied`, `transcoded`, `converted` or `omitted`.
 * @property {string} [reason] Why it is not copied, in words.
 * @property {string[]} [renditions] Which show it.
 * @property {string[]} [subtitles] How a subtitle track is offered: `webvtt`, `burn-in`.
 * @property {string[]} [ignoredFonts] Fonts of the source that are not used for it, a sentence each.
 * @property {string} [codecString] RFC 6381.
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [frameRate]
 * @property {string} [hdr]
 * @property {number} [channels]
 * @property {number} [sampleRate]
 * @property {boolean} [default]
 * @property {boolean} [forced]
 *
 * @typedef {{ startTime: number, endTime: number, title: string }} Chapter
 *
 * @typedef {object} SessionInfo What `GET /sessions/{id}` answers.
 * @property {string} id
 * @property {string} source
 * @property {string} status
 * @property {string} [name] The source's own name.
 * @property {string} [container]
 * @property {number} [durationSeconds]
 * @property {number} [fileSize]
 * @property {Chapter[]} [chapters]
 * @property {StreamInfo[]} [availableStreams]
 * @property {string | { code?: string, detail?: string }} [error]
 * @property {string} [errorCode]
 * @property {boolean} isTorrent
 * @property {string} torrentInfoHash
 * @property {number} progress Percent of the file that is at hand.
 * @property {number} peers
 * @property {number} downloadBytesPerSecond
 * @property {TorrentInfo} [torrent] Once it is known which torrent it is.
 *
 * @typedef {object} Clip
 * @property {string} id
 * @property {'queued' | 'running' | 'done' | 'failed' | 'cancelled'} state
 * @property {number} [progress] 0 to 1.
 * @property {string} [outputPath] Where it is on the server's computer, when it is done.
 * @property {string} [method] `smart`, `encoded` or `copied`.
 * @property {string} [error]
 *
 * @typedef {object} Explanation What `GET /sessions/{id}/explain` answers.
 * @property {string} id
 * @property {string} verdict
 * @property {string} headline
 * @property {{ level: string, text: string }[]} findings
 * @property {{ durationSeconds?: number }} source
 * @property {{ rendition: string, state: string, reason?: string, position: number, speed?: number, text: string }[]} runs
 * @property {{ text: string }} cache
 * @property {{ at: string, count: number, what: string, detail: string, ffmpeg?: string }[]} errors
 * @property {{ steps: { step: string, ms: number, isOver: boolean }[], totalMs: number, isOver: boolean, text: string }} startup
 *
 * @typedef {object} TorrentInfo
 * @property {string} name
 * @property {string} message What is going on, a sentence.
 * @property {number} seeds
 * @property {number} knownPeers
 * @property {number} uploadBytesPerSecond
 * @property {number} piecesTotal
 * @property {number} [fileIdx]
 * @property {{ index: number, name: string, size: number, kind: string }[]} files
 * @property {string} [sketch] A digit for each hundredth of the file, 9: all of it is at hand.
 * @property {number[]} positions Where it is read, bytes.
 * @property {number} [startsInSeconds]
 * @property {boolean} [keepsUp]
 * @property {number} [playsAtBytesPerSecond]
 * @property {{ label: string, state: string, peers: number, reason?: string }[]} sources Who is asked for peers.
 */

/** An answer of the server that is a problem (RFC 9457), or no answer at all (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} detail
   */
  constructor(status, code, detail) {
    super(detail);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
  }
}

const UNREACHABLE = 'It may have been stopped, or the connection to it is gone.';

/**
 * @param {string} url
 * @param {RequestInit} [init]
 * @returns {Promise<unknown>}
 */
async function request(url, init) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (init?.signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', UNREACHABLE);
  }
  const text = await response.text().catch(() => '');
  if (!response.ok) throw problemFrom(response.status, text);
  return text === '' ? undefined : JSON.parse(text);
}

/**
 * The problem in a response body, or a sentence of our own when the body is none.
 * @param {number} status
 * @param {string} body
 */
export function problemFrom(status, body) {
  try {
    const problem = JSON.parse(body);
    const detail = problem.detail ?? problem.title;
    if (typeof detail === 'string') return new ApiError(status, String(problem.code ?? ''), detail);
  } catch {
    // not JSON: a proxy's page, or an empty body
  }
  return new ApiError(status, '', `The server answered with status ${status}.`);
}

/**
 * @param {string} source
 * @param {number} [fileIdx] of a torrent; the server's choice, when left out
 * @returns {Promise<Session>}
 */
export async function createSession(source, fileIdx) {
  const file = uploads.get(source);
  if (file !== undefined) return uploadTorrent(file, fileIdx);
  const headers = { 'content-type': 'application/json' };
  const answer = await request('/sessions', { method: 'POST', headers, body: JSON.stringify({ source, fileIdx }) });
  return /** @type {Session} */ (answer);
}

/** .torrent files that were dropped here, by the magnet link that stands for each: they tell more than the link. */
const uploads = /** @type {Map<string, Blob>} */ (new Map());

/**
 * Gives a .torrent file to the server.
 * @param {File} file
 * @returns {Promise<string>} the magnet link that stands for it
 */
export async function sourceOfTorrent(file) {
  const session = await uploadTorrent(file);
  try {
    const { torrentInfoHash, torrent } = await getSession(session.id, AbortSignal.timeout(20_000));
    const name = torrent?.name ?? file.name;
    const source = `magnet:?xt=urn:btih:${torrentInfoHash}&dn=${encodeURIComponent(name)}`;
    uploads.set(source, file);
    return source;
  } finally {
    deleteSession(session.id);
  }
}

/**
 * @param {Blob} file
 * @param {number} [fileIdx]
 * @returns {Promise<Session>}
 */
async function uploadTorrent(file, fileIdx) {
  const query = fileIdx === undefined ? '' : `?fileIdx=${fileIdx}`;
  const headers = { 'content-type': 'application/x-bittorrent' };
  return /** @type {Session} */ (await request(`/sessions${query}`, { method: 'POST', headers, body: file }));
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<SessionInfo>}
 */
export async function getSession(id, signal) {
  return /** @type {SessionInfo} */ (await request(`/sessions/${encodeURIComponent(id)}`, { signal }));
}

/**
 * Why a session plays as it does.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<Explanation>}
 */
export async function getExplanation(id, signal) {
  return /** @type {Explanation} */ (await request(`/sessions/${encodeURIComponent(id)}/explain`, { signal }));
}

/**
 * Asks for a clip, and does not wait for it.
 * @param {string} id of the session
 * @param {{ start: number, end: number, name: string }} wanted seconds; an empty name is the server's choice
 * @returns {Promise<Clip>}
 */
export async function startClip(id, wanted) {
  const path = `/sessions/${encodeURIComponent(id)}/clip?async=1`;
  const headers = { 'content-type': 'application/json' };
  return /** @type {Clip} */ (await request(path, { method: 'POST', headers, body: JSON.stringify(wanted) }));
}

/**
 * Cancels a clip; resolves when nothing is left of it.
 * @param {string} id
 */
export async function deleteClip(id) {
  await request(`/clips/${encodeURIComponent(id)}`, { method: 'DELETE' });
}

/**
 * Ends a session. Nobody waits for it and a session that is gone already is fine.
 * @param {string} id
 */
export function deleteSession(id) {
  fetch(`/sessions/${encodeURIComponent(id)}`, { method: 'DELETE', keepalive: true }).catch(() => {});
}

/**
 * Ends a session while the page is being left, when only a beacon still gets out.
 * @param {string} id
 */
export function abandonSession(id) {
  navigator.sendBeacon(`/cleanup?id=${encodeURIComponent(id)}`);
}

/**
 * The sentence in a session's `error`, whichever shape it has.
 * @param {Pick<SessionInfo, 'error'> | undefined} info
 * @returns {string | undefined}
 */
export function sessionError(info) {
  const error = info?.error;
  return typeof error === 'string' ? error : error?.detail;
}
