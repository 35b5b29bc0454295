/**
 * What the server tells as it happens (`GET /events`).
 *
 * Invariant: there is one stream exactly while somebody listens: browsers allow a server few connections. It comes back by itself, with what it missed.
 */

/** @typedef {(name: string, data: Record<string, unknown>) => void} Told */

const NAMES = ['session', 'run', 'torrent', 'clip'];
const listeners = /** @type {Set<Told>} */ (new Set());
let stream = /** @type {EventSource | undefined} */ (undefined);

/**
 * @param {Told} listener gets the state of everything first, then what changes
 * @returns {() => void} ends it
 */
export function listen(listener) {
  listeners.add(listener);
  // Who joins gets the state too.
  open();
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return;
    stream?.close();
    stream = undefined;
  };
}

function open() {
  stream?.close();
  stream = new EventSource('/events');
  for (const name of NAMES) {
    stream.addEventListener(name, (event) => {
      const data = JSON.parse(event.data);
      for (const listener of [...listeners]) listener(name, data);
    });
  }
}
