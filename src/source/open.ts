import { AppError } from '../errors.ts';
import { openFile } from './file.ts';
import { openHttp } from './http.ts';
import { urlLabel } from './http-errors.ts';
import { defaultTuning, type HttpTuning } from './http-tuning.ts';
import type { SourceAccess } from './policy.ts';
import type { Source } from './source.ts';
import type { SourceSpec } from './spec.ts';

export interface OpenSourceOptions {
  /** Ends the opening; what is open ends by being disposed of. */
  readonly signal: AbortSignal;
  /** What the client may open. */
  readonly access: Pick<SourceAccess, 'guardOf' | 'pathOf'>;
  /** Departures from the usual times and sizes of HTTP sources; for tests. */
  readonly http?: Partial<HttpTuning>;
}

/**
 * Opens what a spec names. Whoever opens it disposes of it.
 * @throws AppError `source-*`; the signal's reason.
 */
export async function openSource(spec: SourceSpec, options: OpenSourceOptions): Promise<Source> {
  switch (spec.kind) {
    case 'file':
      return openFile(await options.access.pathOf(spec.path), options.signal);
    case 'http':
      return openHttp(spec.url, options.access.guardOf(spec.url), options.signal, {
        ...defaultTuning,
        ...options.http,
      });
    case 'torrent':
      throw new AppError('source-unsupported', 'A torrent is opened by its swarm.');
  }
}

/** A source in messages, before it is opened: the path, or the URL without credentials and query. */
export function sourceLabel(spec: SourceSpec): string {
  switch (spec.kind) {
    case 'file':
      return spec.path;
    case 'http':
      return urlLabel(spec.url);
    case 'torrent':
      return 'The torrent';
  }
}
