/** A reporter of node:test for `test.mjs`: what its summary is made of, a JSON value a line. */

/**
 * @typedef {object} Counts of one file of tests
 * @property {'counts'} kind
 * @property {string} file
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 *
 * @typedef {object} Exception a test that failed, or was left out; a suite left out stands for all its tests
 * @property {'failed' | 'skipped'} kind
 * @property {string} file
 * @property {string} name
 * @property {string} why
 */

/** @param {AsyncIterable<{ type: string, data: any }>} source */
export default async function* report(source) {
  for await (const { type, data } of source) {
    const line = lineOf(type, data);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

/**
 * @param {string} type of an event
 * @param {any} data
 * @returns {Counts | Exception | undefined}
 */
function lineOf(type, data) {
  const { file, name, details, skip } = data;
  if (type === 'test:pass' && skip !== undefined)
    return { kind: 'skipped', file, name, why: skip === true ? 'without a reason' : skip };
  if (type === 'test:fail' && details.type !== 'suite')
    return { kind: 'failed', file, name, why: String(details.error?.cause?.message ?? details.error?.message) };
  // One more without a file sums up all.
  if (type !== 'test:summary' || file === undefined) return undefined;
  const { passed, tests, skipped } = data.counts;
  return { kind: 'counts', file, passed, failed: tests - passed - skipped, skipped };
}
