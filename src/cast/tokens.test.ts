import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CastTokens, isCastToken } from './tokens.ts';

/** What a token opens now. */
function sessionOf(tokens: CastTokens, token: string): string | undefined {
  const found = tokens.find(token);
  return found && found.leftMs > 0 ? found.sessionId : undefined;
}

test('a token opens its own session until it expires', () => {
  let now = 1_000_000;
  const tokens = new CastTokens(() => now);
  const { token, expiresAt } = tokens.issue('film', 30_000);
  assert.equal(Buffer.from(token, 'base64url').length, 32);
  assert.equal(expiresAt.getTime(), now + 30_000);
  assert.equal(sessionOf(tokens, token), 'film');
  now += 29_999;
  assert.deepEqual(tokens.find(token), { sessionId: 'film', leftMs: 1 });
  assert.equal(sessionOf(tokens, token), 'film');
  now += 1;
  assert.equal(sessionOf(tokens, token), undefined);
  assert.deepEqual(tokens.find(token), { sessionId: 'film', leftMs: 0 });
});

test('anything else opens nothing', () => {
  const tokens = new CastTokens();
  const { token } = tokens.issue('film', 30_000);
  for (const text of [
    '',
    ' ',
    `${token} `,
    token.slice(1),
    `${token}A`,
    token.toLowerCase(),
    `${token.slice(0, -1)}=`,
  ]) {
    assert.equal(sessionOf(tokens, text), undefined, text);
  }
  assert.equal(isCastToken(token), true);
  assert.equal(isCastToken('a"\n#EXT'), false);
});

test('tokens end with their session, and those of others do not', () => {
  const tokens = new CastTokens();
  const one = tokens.issue('one', 30_000).token;
  const two = tokens.issue('two', 30_000).token;
  tokens.revoke('one');
  assert.equal(sessionOf(tokens, one), undefined);
  assert.equal(sessionOf(tokens, two), 'two');
});

test('a session has 64 tokens at most, the newest', () => {
  let now = 0;
  const tokens = new CastTokens(() => now);
  const other = tokens.issue('other', 60_000).token;
  const made = Array.from({ length: 70 }, () => tokens.issue('film', 30_000).token);
  assert.equal(tokens.size, 65);
  assert.deepEqual(
    made.map((token) => sessionOf(tokens, token) !== undefined),
    made.map((_, n) => n >= 6),
  );
  assert.equal(sessionOf(tokens, other), 'other');
  now = 100_000;
  assert.equal(sessionOf(tokens, made.at(-1) as string), undefined);
  tokens.revoke('film');
  tokens.revoke('other');
  assert.equal(tokens.size, 0);
});
