import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../errors.ts';
import { type GuardFacts, judgeClient } from './lan-guard.ts';

function verdict(facts: Partial<GuardFacts>): string {
  const all: GuardFacts = {
    loopback: false,
    mode: 'guarded',
    apiKey: 'none',
    cast: 'none',
    method: 'GET',
    tier: 'media',
    trustedOnly: false,
    sessionId: 'film',
    preflight: false,
    path: '/sessions/film/stream.m3u8',
    ...facts,
  };
  try {
    return judgeClient(all);
  } catch (error) {
    assert.ok(error instanceof AppError);
    return error.code;
  }
}

const film = { cast: { sessionId: 'film' } };
const other = { cast: { sessionId: 'other' } };
const wrong = { cast: { sessionId: undefined } };
const create = { method: 'POST', tier: 'control', path: '/sessions', sessionId: undefined } as const;
const health = { tier: 'control', path: '/health', sessionId: undefined } as const;
const token = {
  method: 'POST',
  tier: 'control',
  path: '/cast/token',
  sessionId: undefined,
  trustedOnly: true,
} as const;

const TABLE: readonly (readonly [Partial<GuardFacts>, string])[] = [
  // From this machine, everything.
  [{ ...create, loopback: true }, 'local'],
  [{ ...token, loopback: true, mode: 'open' }, 'local'],
  // With the API key, everything.
  [{ ...create, apiKey: 'right' }, 'key'],
  [{ ...token, apiKey: 'right' }, 'key'],
  [{ ...create, apiKey: 'wrong' }, 'unauthorized'],
  [{ ...health, apiKey: 'wrong' }, 'forbidden'],
  // In an open network, everything but tokens for others.
  [{ ...create, mode: 'open' }, 'open'],
  [{ mode: 'open' }, 'open'],
  [{ ...token, mode: 'open' }, 'forbidden'],
  [{ ...token, mode: 'open', apiKey: 'right' }, 'key'],
  // With a token, the media of its session.
  [film, 'cast'],
  [{ ...film, method: 'HEAD' }, 'cast'],
  [{ ...film, sessionId: 'other' }, 'unauthorized'],
  [{ ...film, sessionId: undefined }, 'unauthorized'],
  [{ ...film, method: 'POST' }, 'forbidden'],
  [{ ...film, ...create }, 'forbidden'],
  [{ ...film, ...health }, 'forbidden'],
  [{ ...film, ...token }, 'forbidden'],
  [{ ...film, tier: 'control', method: 'DELETE' }, 'forbidden'],
  [{ ...film, tier: 'beacon', method: 'POST', path: '/cleanup' }, 'forbidden'],
  [other, 'unauthorized'],
  [wrong, 'unauthorized'],
  // Without any, nothing.
  [{}, 'unauthorized'],
  [create, 'unauthorized'],
  [{ ...create, path: '/sessions/' }, 'unauthorized'],
  [{ path: '/stream/film/playlist.m3u8' }, 'unauthorized'],
  [health, 'forbidden'],
  [token, 'forbidden'],
  [{ ...health, path: '/sessionsx' }, 'forbidden'],
  [{ ...health, path: '/' }, 'forbidden'],
  [{ ...health, method: 'OPTIONS' }, 'forbidden'],
  // Preflights carry nothing, and tell nothing.
  [{ method: 'OPTIONS', preflight: true }, 'open'],
];

test('who may do what from where', () => {
  for (const [facts, expected] of TABLE) assert.equal(verdict(facts), expected, JSON.stringify(facts));
});
