/** Reads a Dockerfile as far as ours goes: an instruction that is not known here is an error, never left out. */

/**
 * @typedef {{ base: string, name: string | undefined, steps: Step[] }} Stage
 * @typedef {{ instruction: 'ENV', variables: Record<string, string> }
 *   | { instruction: 'RUN', command: string }
 *   | { instruction: 'COPY', from: string | undefined, sources: string[], target: string }
 *   | { instruction: 'WORKDIR' | 'USER' | 'EXPOSE' | 'STOPSIGNAL', value: string }
 *   | { instruction: 'VOLUME' | 'ENTRYPOINT' | 'HEALTHCHECK', words: string[] }} Step
 */

/** @param {string} text @returns {Stage[]} */
export function parseDockerfile(text) {
  /** @type {Stage[]} */
  const stages = [];
  /** @type {Record<string, string>} */
  const defaults = {};
  for (const { instruction, rest } of instructions(text)) {
    if (instruction === 'ARG') {
      if (stages.length > 0) throw new Error('Dockerfile: ARG in a stage');
      Object.assign(defaults, pairs(rest));
    } else if (instruction === 'FROM') {
      const [, base = '', name] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest) ?? [];
      stages.push({ base: base.replace(/\$\{(\w+)\}/g, (_, variable) => defaults[variable] ?? ''), name, steps: [] });
    } else {
      const stage = stages.at(-1);
      if (!stage) throw new Error(`Dockerfile: ${instruction} before FROM`);
      stage.steps.push(step(instruction, rest));
    }
  }
  return stages;
}

/** Instructions without comments, lines that go on joined. @param {string} text */
function* instructions(text) {
  const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line));
  for (const line of lines.join('\n').replace(/\\\n/g, '').split('\n')) {
    const [, instruction = '', rest = ''] = /^\s*(\w+)\s+(.*)$/.exec(line) ?? [];
    yield { instruction: instruction.toUpperCase(), rest: rest.trim() };
  }
}

/** `NAME=value NAME=value`, without quotes. @param {string} text @returns {Record<string, string>} */
function pairs(text) {
  const words = text.split(/\s+/);
  for (const word of words) if (!/^\w+=[^"'$\\]*$/.test(word)) throw new Error(`Dockerfile: ${word}`);
  return Object.fromEntries(words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));
}

/** @param {string} instruction @param {string} rest @returns {Step} */
function step(instruction, rest) {
  switch (instruction) {
    case 'ENV':
      return { instruction, variables: pairs(rest) };
    case 'RUN':
      return { instruction, command: rest };
    case 'COPY': {
      const [, from, paths = ''] = /^(?:--from=(\S+)\s+)?([^-].*)$/.exec(rest) ?? [];
      const words = paths.split(/\s+/);
      return { instruction, from, sources: words.slice(0, -1), target: words.at(-1) ?? '' };
    }
    case 'WORKDIR':
    case 'USER':
    case 'EXPOSE':
    case 'STOPSIGNAL':
      return { instruction, value: rest };
    case 'VOLUME':
    case 'ENTRYPOINT':
      return { instruction, words: JSON.parse(rest) };
    case 'HEALTHCHECK':
      return { instruction, words: JSON.parse(rest.slice(rest.indexOf('['))) };
    default:
      throw new Error(`Dockerfile: ${instruction} is not known here`);
  }
}
