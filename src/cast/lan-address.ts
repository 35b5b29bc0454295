import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { isLocalHost } from '../lib/addresses.ts';
import { type Authority, authorityText } from '../lib/authority.ts';

/** Addresses of documentation (RFC 5737, RFC 3849), to which only the default route leads. */
const AFAR = [
  { type: 'udp4', address: '203.0.113.1' },
  { type: 'udp6', address: '2001:db8::1' },
] as const;

/** This machine's address on the local network: that of the default route, else that of any interface; undefined when it has none. */
async function lanAddress(): Promise<string | undefined> {
  for (const { type, address } of AFAR) {
    const found = await addressTowards(type, address);
    if (found !== undefined) return found;
  }
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outward = all.filter(({ internal, scopeid }) => !internal && !scopeid);
  return (outward.find(({ family }) => family === 'IPv4') ?? outward[0])?.address;
}

/** Which address the system would send from. Connecting a datagram socket chooses it and sends nothing. */
async function addressTowards(type: 'udp4' | 'udp6', address: string): Promise<string | undefined> {
  const socket = createSocket(type);
  try {
    socket.connect(9, address);
    await once(socket, 'connect');
    return socket.address().address;
  } catch {
    return undefined; // no route
  } finally {
    socket.close();
  }
}

export interface CastOriginOptions {
  /** What the operator says; with our port when it has none. */
  readonly castHost: Authority | undefined;
  /** What the server listens on. */
  readonly listen: Authority & { readonly port: number };
  readonly findAddress?: () => Promise<string | undefined>;
}

/** Where cast devices reach this server, and what is wrong with that, if it is plain. */
export async function castOrigin(options: CastOriginOptions): Promise<{ url: string; warning?: string }> {
  const { castHost, listen, findAddress = lanAddress } = options;
  if (castHost) return { url: `http://${authorityText({ port: listen.port, ...castHost })}` };
  const { host, port } = listen;
  const everywhere = host === '::' || host === '0.0.0.0';
  const local = isLocalHost(host);
  const found = everywhere || local ? await findAddress() : host;
  const url = `http://${authorityText({ host: found ?? host, port })}`;
  if (local) return { url, warning: LOOPBACK_ONLY };
  return found === undefined ? { url, warning: NO_NETWORK } : { url };
}

const LOOPBACK_ONLY =
  'The server listens on this machine only, so no other device can reach it: set RAFFI_SERVER_ADDR, to ":6969" for instance.';
const NO_NETWORK = 'This machine has no address on a network: set RAFFI_CAST_HOST if others reach it all the same.';
