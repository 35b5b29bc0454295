/** One line on a terminal that is written anew as work goes on; nothing anywhere else. */
const WIDTH = 30;

export class Progress implements Disposable {
  readonly #stream: NodeJS.WriteStream;
  #shown = '';

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** @param share 0 to 1; undefined where nobody knows. */
  show(words: string, share?: number): void {
    if (!this.#stream.isTTY) return;
    const done = Math.floor((share ?? 0) * WIDTH);
    const bar = `[${'='.repeat(done)}${' '.repeat(WIDTH - done)}] ${String(Math.floor((share ?? 0) * 100)).padStart(3)} % `;
    const line = `${share === undefined ? '' : bar}${words}`.slice(0, (this.#stream.columns || 80) - 1);
    if (line === this.#shown) return;
    this.#shown = line;
    this.#stream.write(`\r\u001b[K${line}`);
  }

  /** Takes the line away. */
  [Symbol.dispose](): void {
    if (this.#shown !== '') this.#stream.write('\r\u001b[K');
    this.#shown = '';
  }
}

/** Texts from sources, without what would move the cursor, or colour the rest. */
export function plain(text: string): string {
  return text.replace(/\p{C}/gu, '\ufffd');
}

/** Columns as wide as their widest cell, two spaces apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>((most, row) => row.map((cell, n) => Math.max(most[n] ?? 0, cell.length)), []);
  const lines = rows.map((row) =>
    row
      .map((cell, n) => cell.padEnd(widths[n] as number))
      .join('  ')
      .trimEnd(),
  );
  return lines.map((line) => `  ${line}\n`).join('');
}
