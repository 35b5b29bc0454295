import type { FastifyInstance, FastifySchema } from 'fastify';
import type { Tier } from './origin-policy.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Which web pages may use the route; `control` when it does not say, and a test fails for it. */
    tier?: Tier;
    /** Only for programs of this machine and holders of the API key, even in an open network. */
    trustedOnly?: boolean;
  }
}

export interface KnownRoute {
  readonly url: string;
  readonly method: string;
  readonly tier: Tier | undefined;
  readonly schema: FastifySchema;
}

interface Pattern {
  readonly path: RegExp;
  readonly methods: Map<string, Pick<KnownRoute, 'tier' | 'schema'>>;
}

/** What is registered: for 405, for preflights, which ask about another method than their own, and for the tests of all routes. */
export class RouteBook {
  readonly #patterns = new Map<string, Pattern>();

  /** Must come before any route. */
  constructor(app: FastifyInstance) {
    app.addHook('onRoute', ({ url, method, config, schema = {} }) => {
      const known = this.#patterns.get(url) ?? { path: patternOf(url), methods: new Map() };
      for (const name of [method].flat()) known.methods.set(name, { tier: config?.tier, schema });
      this.#patterns.set(url, known);
    });
  }

  get routes(): KnownRoute[] {
    return [...this.#patterns].flatMap(([url, { methods }]) =>
      [...methods].map(([method, rest]) => ({ url, method, ...rest })),
    );
  }

  /** The methods that a path knows, OPTIONS aside; none: nothing is there. */
  methods(path: string): string[] {
    const all = this.#matching(path).flatMap(({ methods }) => [...methods.keys()]);
    return [...new Set(all)].filter((method) => method !== 'OPTIONS').sort();
  }

  tier(method: string, path: string): Tier | undefined {
    return this.#matching(path)
      .find(({ methods }) => methods.has(method))
      ?.methods.get(method)?.tier;
  }

  #matching(path: string): Pattern[] {
    return [...this.#patterns.values()].filter((pattern) => pattern.path.test(path));
  }
}

function patternOf(url: string): RegExp {
  if (url.includes('*')) return /^$/; // the one for OPTIONS says nothing about what is there
  const parts = url.split('/').map((part) => (part.startsWith(':') ? '[^/]+' : RegExp.escape(part)));
  return new RegExp(`^${parts.join('/')}$`);
}
