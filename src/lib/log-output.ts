/** Bytes that may wait for whoever reads the log; what comes on top is lost. */
const MOST_WAITING = 1 << 20;
/** Of pino. */
const WARNING = 40;

/**
 * The log's way to stderr. It holds up nothing that it tells of: what a pipe or a full disk does not take now is taken later, or lost, and then a line says how much.
 */
export class LogOutput {
  readonly #stream: NodeJS.WritableStream & { readonly writableLength: number };
  /** Lines. */
  #lost = 0;

  /** @param stream what goes wrong with it is nobody's fault here, and no reason to end. */
  constructor(stream: NodeJS.WritableStream & { readonly writableLength: number } = process.stderr) {
    this.#stream = stream;
    if (!stream.listeners('error').includes(ignore)) stream.on('error', ignore);
  }

  write(line: string): void {
    if (this.#stream.writableLength + line.length > MOST_WAITING) {
      this.#lost += 1;
      return;
    }
    if (this.#lost > 0) {
      const msg = `${this.#lost} lines of the log are lost: nobody took them`;
      this.#lost = 0;
      this.#put(`${JSON.stringify({ level: WARNING, time: Date.now(), msg })}\n`);
    }
    this.#put(line);
  }

  #put(line: string): void {
    this.#stream.write(line, (error) => {
      if (error) this.#lost += 1;
    });
  }
}

function ignore(): void {}
