import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allowedFastSet } from './allowed-fast.ts';

// The example of BEP 6.
test('the allowed fast set is the one of the specification', () => {
  const infoHash = Buffer.alloc(20, 0xaa);
  const set = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
  assert.deepEqual(allowedFastSet('80.4.4.200', infoHash, 1313, 7), set.slice(0, 7));
  assert.deepEqual(allowedFastSet('80.4.4.200', infoHash, 1313, 9), set);
});

test('it is no larger than the torrent, and nothing for IPv6', () => {
  assert.equal(allowedFastSet('80.4.4.200', Buffer.alloc(20), 3).length, 3);
  assert.deepEqual(allowedFastSet('::1', Buffer.alloc(20), 3), []);
});
