/** Bytes per second, smoothed over some seconds, from counters that only grow. */
export class Speed {
  #download = 0;
  #upload = 0;
  #downloaded = 0;
  #uploaded = 0;

  /** Once every `seconds`, with the counters as they are. */
  measure(seconds: number, downloaded: number, uploaded: number): void {
    const keep = 0.5 ** (seconds / 1.5);
    this.#download = this.#download * keep + ((downloaded - this.#downloaded) / seconds) * (1 - keep);
    this.#upload = this.#upload * keep + ((uploaded - this.#uploaded) / seconds) * (1 - keep);
    this.#downloaded = downloaded;
    this.#uploaded = uploaded;
  }

  get download(): number {
    return Math.round(this.#download);
  }

  get upload(): number {
    return Math.round(this.#upload);
  }
}
