/** The arguments of `Source.read` as its contract has them. @throws RangeError for a programming error. */
export function checkRange(offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) {
    throw new RangeError(`not a byte range: offset ${offset}, length ${length}`);
  }
}
