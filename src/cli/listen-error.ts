/** It cannot listen. The message is the whole sentence for the person who started it. */
export class ListenError extends Error {
  /** Whether another program is there already. */
  readonly isTaken: boolean;

  constructor(message: string, isTaken: boolean) {
    super(message);
    this.isTaken = isTaken;
  }
}
