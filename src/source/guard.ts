import { AppError } from '../errors.ts';

/**
 * The one place that decides where a source may lead. `checkUrl` sees every URL before it is requested: the one the
 * client gave and each redirect's. `checkAddress` sees every address before a socket connects to it, whether it came
 * from DNS or stands in the URL: what is checked is what is connected to, so a name that changes its address gains nothing.
 */
export interface AddressGuard {
  /** @throws AppError when this URL must not be requested. */
  checkUrl(url: URL): void;
  /**
   * @param origin scheme, host and port of the connection.
   * @param address the IPv4 or IPv6 address about to be connected to, without brackets.
   * @throws AppError when it must not be connected to.
   */
  checkAddress(origin: URL, address: string): void;
}

/** Allows http and https to any address. */
export const anyAddress: AddressGuard = {
  checkUrl(url) {
    if (url.protocol === 'http:' || url.protocol === 'https:') return;
    throw new AppError(
      'source-unsupported',
      `The source leads to a "${url.protocol}" address; only http and https are allowed.`,
    );
  },
  checkAddress() {},
};
