/**
 * What was played lately, newest first, in this browser's localStorage only.
 * @typedef {{ source: string, position: number, duration: number, at: number }} Recent seconds, seconds, ms since 1970
 */

const KEY = 'raffi.recent';
const LIMIT = 8;

/** @returns {Recent[]} */
export function recents() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter(isRecent) : [];
  } catch {
    return [];
  }
}

/**
 * @param {unknown} value
 * @returns {value is Recent}
 */
function isRecent(value) {
  if (typeof value !== 'object' || value === null) return false;
  const entry = /** @type {Record<string, unknown>} */ (value);
  return typeof entry.source === 'string' && ['position', 'duration', 'at'].every((key) => Number.isFinite(entry[key]));
}

/**
 * Puts a source first, with the place reached in it.
 * @param {string} source
 * @param {number} position
 * @param {number} duration 0 when unknown
 */
export function remember(source, position, duration) {
  const others = recents().filter((entry) => entry.source !== source);
  store([{ source, position, duration, at: Date.now() }, ...others].slice(0, LIMIT));
}

/** @param {string} source */
export function forget(source) {
  store(recents().filter((entry) => entry.source !== source));
}

/**
 * Where to go on with a source: 0 when it was hardly begun or nearly over.
 * @param {Recent | undefined} entry
 */
export function resumePoint(entry) {
  if (entry === undefined || entry.position < 20) return 0;
  return entry.duration > 0 && entry.position > entry.duration * 0.95 ? 0 : entry.position;
}

/** @param {Recent[]} list */
function store(list) {
  try {
    localStorage.setItem(KEY, JSON.stringify(list));
  } catch {
    // storage is off or full: the page works without a memory
  }
}
