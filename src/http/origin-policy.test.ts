import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../errors.ts';
import { judgeOrigin, type OriginFacts } from './origin-policy.ts';

/** What Access-Control-Allow-Origin says, `none`, or `refused`. */
function verdict(facts: Partial<OriginFacts>, launchToken = false): string {
  const rules = { allowedOrigins: ['https://web.example', 'http://tv.example:8080'], launchToken };
  const all: OriginFacts = {
    tier: 'control',
    origin: undefined,
    fetchSite: undefined,
    host: '192.168.1.5:6969',
    namesSession: false,
    preflight: false,
    hasLaunchToken: false,
    ...facts,
  };
  try {
    return judgeOrigin(all, rules) ?? 'none';
  } catch (error) {
    assert.ok(error instanceof AppError && error.code === 'origin-not-allowed');
    return 'refused';
  }
}

const ALLOWED = [
  'http://localhost',
  'http://localhost:5173',
  'https://localhost:1',
  'http://127.0.0.1:8080',
  'http://[::1]:3000',
].concat(
  [
    'app://-',
    'app://raffi',
    'app://',
    'raffi://app',
    'tauri://localhost',
    'http://tauri.localhost',
    'https://tauri.localhost',
  ],
  [
    'capacitor://localhost',
    'https://web.example',
    'http://tv.example:8080',
    'http://192.168.1.5:6969',
    'https://192.168.1.5:6969',
  ],
);

const FOREIGN = [
  'https://evil.example',
  'null',
  'file://',
  '',
  'http://localhost.evil.example',
  'http://evil.localhost',
].concat(
  [
    'http://localhost@evil.example',
    'http://localhost:80@evil.example',
    'http://localhost:5173/',
    'http://localhost:',
    'localhost:5173',
  ],
  [
    'http://127.0.0.1.evil.example',
    'http://127.1',
    'http://0.0.0.0:6969',
    'http://xlocalhost',
    'ftp://localhost',
    'javascript:app://x',
  ],
  [
    'https://web.example:444',
    'http://web.example',
    'https://web.example.evil',
    'https://evil.example/https://web.example',
  ],
  [
    'https://web.example, https://evil.example',
    'http://tv.example',
    'http://192.168.1.5',
    'http://192.168.1.6:6969',
    'app:/x',
    'xapp://x',
  ],
  [
    'app://x/../evil',
    'app://x y',
    'http://localhost\n',
    'chrome-extension://abc',
    'http://[::1',
    'http://localhost:999999',
  ],
);

test('pages that may control', () => {
  for (const origin of ALLOWED) {
    assert.equal(verdict({ origin }), origin);
    // An application is always another site than 127.0.0.1: the exact origin is what counts.
    assert.equal(verdict({ origin, fetchSite: 'cross-site' }), origin);
  }
});

test('pages that may not', () => {
  for (const origin of FOREIGN) {
    assert.equal(verdict({ origin }), 'refused', origin);
    assert.equal(verdict({ origin, fetchSite: 'same-origin' }), 'refused', origin);
    assert.equal(verdict({ origin, preflight: true }), 'refused', origin);
  }
});

test('media is for every page', () => {
  for (const origin of [undefined, ...ALLOWED, ...FOREIGN]) {
    assert.equal(verdict({ tier: 'media', origin, fetchSite: 'cross-site' }), '*');
  }
});

test('without an origin, what a page of another site started is refused', () => {
  for (const fetchSite of [undefined, 'none', 'same-origin', 'same-site']) assert.equal(verdict({ fetchSite }), 'none');
  for (const fetchSite of ['cross-site', 'Cross-Site', '', 'none, cross-site', 'other']) {
    assert.equal(verdict({ fetchSite }), 'refused', fetchSite);
  }
});

test('pages without an origin of their own need the launch token', () => {
  for (const origin of ['null', 'file://']) {
    assert.equal(verdict({ origin }, true), 'refused');
    assert.equal(verdict({ origin, hasLaunchToken: true }, true), origin);
    assert.equal(verdict({ origin, preflight: true }, true), origin);
    assert.equal(verdict({ origin, preflight: true }, false), 'refused');
  }
  assert.equal(verdict({ origin: 'https://evil.example', hasLaunchToken: true }, true), 'refused');
});

test('a beacon that names a session is for everybody; nothing of it can be read', () => {
  const beacon = { tier: 'beacon', namesSession: true } as const;
  for (const origin of FOREIGN) {
    assert.equal(verdict({ ...beacon, origin, fetchSite: 'cross-site' }), 'none');
    assert.equal(verdict({ ...beacon, origin, namesSession: false }), 'refused');
    assert.equal(verdict({ ...beacon, origin, preflight: true }), 'refused');
  }
  for (const origin of ALLOWED) assert.equal(verdict({ ...beacon, origin }), origin);
});
