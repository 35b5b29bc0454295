/** The time of the engine in milliseconds, read once per event of the network and not per block. */
export const clock = {
  now: performance.now(),
  /** Reads the time anew. */
  tick(): number {
    clock.now = performance.now();
    return clock.now;
  },
};
