/** Session descriptions of strangers (RFC 8866, RFC 8841): what is let through to the native part, and whom it may call. */
import type { Nearness } from '../../lib/addresses.ts';
import { usablePeers } from '../peer-guard.ts';

export interface Description {
  readonly type: 'offer' | 'answer';
  readonly sdp: string;
}

/** This server listens to TCP only: what is sent to its port by UDP reaches nobody. */
const NOWHERE = { port: undefined, places: [] };
const LONGEST = 16 * 1024;
const MOST_LINES = 200;
const MOST_CANDIDATES = 30;

/**
 * What can be used of a description: data channels only, over UDP, and no candidate at an address that a peer may not have. Names
 * as candidates are left out: they mean something on the stranger's network at most, and whoever has one calls us.
 * @param value as it came, of any kind. @param from where who passed it on is.
 * @returns undefined when nothing can.
 */
export function admit(value: unknown, type: Description['type'], from: Nearness): Description | undefined {
  if (typeof value !== 'object' || value === null || !('sdp' in value) || !('type' in value)) return undefined;
  const { sdp } = value;
  if (value.type !== type || typeof sdp !== 'string' || sdp.length > LONGEST) return undefined;
  const lines = sdp.split(/\r?\n/).filter((line) => line !== '');
  if (lines.length > MOST_LINES || lines[0] !== 'v=0' || lines.some((line) => !isPrintable(line))) return undefined;
  const media = lines.filter((line) => line.startsWith('m='));
  if (media.length !== 1 || !/^m=application \d{1,5} (?:UDP\/|TCP\/)?DTLS\/SCTP /.test(media[0]!)) return undefined;
  let candidates = 0;
  const kept = lines.filter((line) => {
    if (!/^a=candidate:/i.test(line)) return true;
    candidates += 1;
    return candidates <= MOST_CANDIDATES && isCallable(line, from);
  });
  return { type, sdp: `${kept.join('\r\n')}\r\n` };
}

function isPrintable(line: string): boolean {
  return /^[a-z]=[\x20-\x7e]*$/.test(line);
}

/** RFC 8839 section 5.1: foundation, component, transport, priority, address, port. */
function isCallable(line: string, from: Nearness): boolean {
  const [, , transport = '', , host = '', port] = line.split(' ');
  return transport.toLowerCase() === 'udp' && usablePeers([{ host, port: Number(port) }], from, NOWHERE).length === 1;
}
