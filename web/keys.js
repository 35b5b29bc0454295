/**
 * @typedef {object} KeyActions What the keys of the player do. Seconds, shares of 1.
 * @property {() => void} toggle
 * @property {(seconds: number) => void} skip
 * @property {(seconds: number) => void} seek
 * @property {(share: number) => void} seekShare
 * @property {(change: number) => void} louder
 * @property {(direction: number) => void} faster
 * @property {() => void} mute
 * @property {() => void} full
 * @property {() => void} pictureInPicture
 * @property {() => void} nextAudio
 * @property {() => void} subtitles
 * @property {() => void} clip
 * @property {(which: 'start' | 'end') => void} markClip
 * @property {() => void} panel
 * @property {() => void} help
 * @property {() => boolean} escape whether there was something to leave
 */

/**
 * Does what a key press means.
 * @param {KeyboardEvent} event
 * @param {KeyActions} actions
 * @returns {boolean} whether it meant anything
 */
export function handleKey(event, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return false;
  const { target } = event;
  if (event.key === ' ' && target instanceof HTMLButtonElement) return false;
  if (/^[0-9]$/.test(event.key)) {
    actions.seekShare(Number(event.key) / 10);
    return true;
  }
  const step = event.shiftKey ? 30 : 5;
  const table = /** @type {Record<string, () => unknown>} */ ({
    ' ': actions.toggle,
    k: actions.toggle,
    arrowleft: () => actions.skip(-step),
    arrowright: () => actions.skip(step),
    j: () => actions.skip(-10),
    l: () => actions.skip(10),
    arrowup: () => actions.louder(0.05),
    arrowdown: () => actions.louder(-0.05),
    home: () => actions.seek(0),
    end: () => actions.seek(Number.POSITIVE_INFINITY),
    m: actions.mute,
    f: actions.full,
    p: actions.pictureInPicture,
    a: actions.nextAudio,
    c: actions.subtitles,
    i: actions.panel,
    x: actions.clip,
    '[': () => actions.markClip('start'),
    ']': () => actions.markClip('end'),
    '<': () => actions.faster(-1),
    '>': () => actions.faster(1),
    '?': actions.help,
  });
  if (event.key === 'Escape') return actions.escape();
  const action = table[event.key.toLowerCase()];
  if (action === undefined) return false;
  const repeats = /^arrow|^[jl]$/i.test(event.key);
  if (!event.repeat || repeats) action();
  return true;
}
