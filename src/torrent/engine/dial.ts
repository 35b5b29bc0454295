/** An attempt to reach a peer over all transports there are at once: who answers first is taken, nobody is waited for. */
import type { PeerAddress } from '../protocol.ts';
import { dialTcp, type Transport } from './transport.ts';

export interface Attempt {
  cancel(): void;
}

/** One attempt to connect. Either `opened` or `failed` is called, once, later; after `cancel` neither. */
export type Dial = (
  remote: PeerAddress,
  timeoutMs: number,
  opened: (transport: Transport) => void,
  failed: () => void,
) => Attempt | undefined;

/** Milliseconds: who does not answer the first two packets of uTP speaks none, and is not waited for as long as for TCP. */
const UTP_TIMEOUT_MS = 2500;

/** @param dialUtp undefined: TCP alone. */
export function dialAny(
  remote: PeerAddress,
  timeoutMs: number,
  dialUtp: Dial | undefined,
  opened: (transport: Transport) => void,
  failed: () => void,
): Attempt {
  const attempts: Attempt[] = [];
  let left = 0;
  const cancel = (): void => {
    for (const attempt of attempts.splice(0)) attempt.cancel();
  };
  const begin = (dial: Dial, ms: number): void => {
    const attempt = dial(
      remote,
      ms,
      (transport) => {
        if (attempt !== undefined) attempts.splice(attempts.indexOf(attempt), 1);
        cancel();
        opened(transport);
      },
      () => {
        left -= 1;
        if (left === 0) failed();
      },
    );
    if (attempt === undefined) return;
    attempts.push(attempt);
    left += 1;
  };
  begin(dialTcp, timeoutMs);
  if (dialUtp !== undefined) begin(dialUtp, Math.min(timeoutMs, UTP_TIMEOUT_MS));
  return { cancel };
}
