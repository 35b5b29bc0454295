/** Measurements of one playback. Times are milliseconds, sizes bytes. */
export class Metrics {
  /** Load times of the latest segments, oldest first. */
  #loads = /** @type {number[]} */ ([]);
  #opened = performance.now();
  #seekStarted = 0;

  segments = 0;
  bytes = 0;
  stalls = 0;
  firstFrame = /** @type {number | undefined} */ (undefined);
  lastSeek = /** @type {number | undefined} */ (undefined);
  /** Errors in words, newest first. */
  errors = /** @type {string[]} */ ([]);

  /**
   * @param {number} ms
   * @param {number} bytes
   */
  segmentLoaded(ms, bytes) {
    this.segments += 1;
    this.bytes += bytes;
    this.#loads.push(ms);
    if (this.#loads.length > 50) this.#loads.shift();
  }

  /** @param {string} words */
  failed(words) {
    if (this.errors[0] === words) return;
    this.errors.unshift(words);
    this.errors.length = Math.min(this.errors.length, 5);
  }

  get lastLoad() {
    return this.#loads.at(-1);
  }

  get medianLoad() {
    const sorted = [...this.#loads].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }

  /**
   * Follows the video element: first frame, seeks, stalls.
   * @param {HTMLVideoElement} video
   * @param {AbortSignal} signal ends the following
   */
  watch(video, signal) {
    const nextFrame = (/** @type {() => void} */ then) => {
      const ready = () => {
        if (!signal.aborted) then();
      };
      if (typeof video.requestVideoFrameCallback === 'function') video.requestVideoFrameCallback(ready);
      /** @type {EventTarget} */ else video.addEventListener('timeupdate', ready, { once: true, signal });
    };
    nextFrame(() => {
      this.firstFrame ??= performance.now() - this.#opened;
    });
    video.addEventListener(
      'seeking',
      () => {
        const started = performance.now();
        this.#seekStarted = started;
        nextFrame(() => {
          if (this.#seekStarted === started && this.firstFrame !== undefined)
            this.lastSeek = performance.now() - started;
        });
      },
      { signal },
    );
    video.addEventListener(
      'waiting',
      () => {
        if (!video.seeking && this.firstFrame !== undefined) this.stalls += 1;
      },
      { signal },
    );
  }
}

/**
 * Seconds that are buffered from the playhead on.
 * @param {HTMLVideoElement} video
 */
export function bufferAhead(video) {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= currentTime + 0.25 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
  }
  return 0;
}
