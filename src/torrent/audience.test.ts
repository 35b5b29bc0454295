import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Audience } from './audience.ts';

test('the file is the one that was chosen last by a session that is still there', () => {
  const audience = new Audience();
  const [one, other, late] = [{}, {}, {}];
  assert.equal(audience.selected, undefined);
  audience.join(one);
  audience.choose(one, 0);
  audience.join(other);
  assert.equal(audience.selected, 0, 'who has not chosen yet changes nothing');
  audience.choose(other, 5);
  assert.deepEqual([audience.size, audience.selected], [2, 5]);
  audience.choose(one, 1);
  assert.equal(audience.selected, 1);
  audience.leave(one);
  assert.equal(audience.selected, 5);
  audience.leave(other);
  audience.choose(late, 3);
  assert.deepEqual([audience.size, audience.selected], [0, undefined], 'who has left chooses nothing');
});
