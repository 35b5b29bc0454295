/** What must hold of the image without building it; `npm run prove:container` builds and runs it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDockerfile } from '../scripts/container/dockerfile.mjs';
import { startProgram } from './fixtures/process.ts';
import { listeningUrl, spawnServer } from './fixtures/server-process.ts';

type Step = ReturnType<typeof parseDockerfile>[number]['steps'][number];

const ROOT = join(import.meta.dirname, '..');
const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');

/** The arguments of a stage's only instruction of a kind. */
function only(steps: readonly Step[], instruction: Step['instruction']) {
  const found = steps.filter((step) => step.instruction === instruction);
  assert.equal(found.length, 1, instruction);
  return { value: '', words: [''], variables: {} as Record<string, string>, ...found[0] };
}

test('the image runs as a user of its own, says when it is well, and keeps its data in volumes', () => {
  const [build, image, ...others] = parseDockerfile(text);
  assert.ok(build && image && others.length === 0);
  for (const { base } of [build, image]) assert.match(base, /^(node:\d+-|debian:)[a-z]+-slim$/);
  assert.match(only(image.steps, 'USER').value, /^[1-9]\d{3,}:[1-9]\d{3,}$/);
  assert.deepEqual(only(image.steps, 'VOLUME').words, ['/clips', '/torrents']);
  const { variables } = only(image.steps, 'ENV');
  assert.equal(variables.RAFFI_CLIPS_DIR, '/clips');
  assert.equal(variables.RAFFI_TORRENT_DIR, '/torrents');
  assert.equal(variables.RAFFI_CACHE_DIR, '/tmp');
  assert.equal(only(image.steps, 'ENTRYPOINT').words[0], 'node');
  assert.equal(only(image.steps, 'HEALTHCHECK').words[0], 'node');
  assert.ok(
    image.steps.findIndex(({ instruction }) => instruction === 'USER') >
      image.steps.findLastIndex(({ instruction }) => instruction === 'RUN'),
  );
});

test('what it copies is there, and not kept out', () => {
  const allowed = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
  for (const { steps } of parseDockerfile(text))
    for (const step of steps) {
      if (step.instruction !== 'COPY' || step.from) continue;
      for (const source of step.sources) {
        assert.ok(existsSync(join(ROOT, source)), source);
        assert.ok(source === '.' || allowed.includes(`!${source.split('/')[0]}`), source);
      }
    }
});

/** What the health check ends with. */
async function health(variables: Record<string, string>): Promise<number | null> {
  const script = join(ROOT, 'deploy/healthcheck.mjs');
  await using check = startProgram(process.execPath, [script], { env: { PATH: process.env.PATH, ...variables } });
  return (await check.closed)[0];
}

test('the health check asks where the server listens', { timeout: 60_000 }, async () => {
  // Other systems have no more than one loopback address of IPv4.
  const hosts = ['127.0.0.1', '[::1]', 'localhost', ...(process.platform === 'linux' ? ['127.0.0.2'] : [])];
  const checkOne = async (host: string): Promise<void> => {
    let port: string;
    {
      await using server = spawnServer({ RAFFI_SERVER_ADDR: `${host}:0`, RAFFI_HWACCEL: 'none' });
      port = new URL(await listeningUrl(server)).port;
      assert.equal(await health({ RAFFI_SERVER_ADDR: `${host}:${port}` }), 0, host);
      if (host === '127.0.0.1') {
        for (const everywhere of ['', '0.0.0.0', '[::]'])
          assert.equal(await health({ RAFFI_SERVER_ADDR: `${everywhere}:${port}` }), 0, everywhere);
        assert.equal(await health({ PORT: port }), 0);
      }
    }
    assert.equal(await health({ RAFFI_SERVER_ADDR: `${host}:${port}` }), 1, `${host}, ended`);
  };
  for (const host of hosts) await checkOne(host);
});

test('an instruction that its reader does not know is an error', () => {
  assert.throws(() => parseDockerfile('FROM debian:bookworm-slim\nADD a b\n'), /ADD is not known/);
  assert.throws(() => parseDockerfile('RUN true\n'), /before FROM/);
  assert.throws(() => parseDockerfile('FROM a\nENV A="b c"\n'), /Dockerfile: A="b/);
  const [stage] = parseDockerfile('ARG X=1\n# comment\nFROM a:$' + '{X} AS b\nRUN one \\\n # between\n  && two\n');
  assert.deepEqual(stage, { base: 'a:1', name: 'b', steps: [{ instruction: 'RUN', command: 'one   && two' }] });
});
