import Hls from './vendor/hls.mjs';

/**
 * @typedef {import('./vendor/hls.mjs').LevelDetails} LevelDetails
 */

/**
 * hls.js does not read edit lists, and so believes each copied segment, and all that follow it, to begin later than they do, by the frames that the codec
 * reorders (docs/decisions/0006). Who seeks to just behind the beginning of a segment would wait for the one before it as well. Sound begins with the first
 * frame that lies wholly within its segment: who seeks to before that needs nothing of the one before either.
 *
 * So whenever hls.js has looked into a segment, its list is set right again: segments follow each other as the playlist says, shifted by where the picture's
 * decode times say, which begin with the lowest presentation time.
 * @param {Hls} hls
 */
export function keepSegmentTimes(hls) {
  /** @type {WeakMap<LevelDetails, Float64Array>} */
  const plans = new WeakMap();
  /** Seconds, from the playlist's times to the player's. */
  let shift = /** @type {number | undefined} */ (undefined);

  /** @param {LevelDetails} details */
  const plan = (details) => {
    let end = 0;
    plans.set(
      details,
      Float64Array.from(details.fragments, ({ duration }) => {
        const start = end;
        end += duration;
        return start;
      }),
    );
  };

  hls.on(Hls.Events.LEVEL_LOADED, (_event, { details }) => plan(details));
  hls.on(Hls.Events.AUDIO_TRACK_LOADED, (_event, { details }) => plan(details));
  hls.on(Hls.Events.LEVEL_PTS_UPDATED, (_event, { details, frag }) => {
    const starts = plans.get(details);
    const planned = starts?.[Number(frag.sn) - details.startSN];
    if (starts === undefined || planned === undefined || frag.startDTS === undefined) return;
    const own = frag.startDTS - planned;
    if (frag.type === 'main') shift = own;
    const by = shift ?? own;
    details.fragments.forEach((fragment, n) => {
      // The first one is found by its time of 0.
      const start = n === 0 ? 0 : (starts[n] ?? 0) + by;
      const next = starts[n + 1];
      if (next !== undefined) fragment.setDuration(next + by - start);
      fragment.setStart(start);
    });
  });
}
