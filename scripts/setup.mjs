/**
 * Makes a fresh clone ready to run. Plain JavaScript for Node 20 and without dependencies: it runs before there are any.
 *
 *   node scripts/setup.mjs           dependencies (which bring their own Node), and FFmpeg where it may be installed
 *   node scripts/setup.mjs --test    the same and what the tests need; whatever stays missing is an error
 *   node scripts/setup.mjs --verify  says in one sentence, before the server starts, that the setup is missing
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const WINDOWS = process.platform === 'win32';
/** The oldest Node that runs the server: `using`, and `import.meta.main`. The same as `engines` in package.json. */
const OLDEST_NODE = { major: 24, minor: 2 };
const BUNDLED_NODE = join(ROOT, 'node_modules', '.bin', WINDOWS ? 'node.cmd' : 'node');

/** @typedef {{ name: string, packages: Record<string, string[]>, present: () => boolean }} Tool */

/**
 * Tools of the system, and the packages that bring them: under which name which package manager has them.
 * @type {Record<'ffmpeg' | 'chromium' | 'font' | 'ip' | 'libtorrent' | 'transmission' | 'aria2', Tool>}
 */
const TOOLS = {
  ffmpeg: {
    name: 'FFmpeg',
    packages: {
      apt: ['ffmpeg'],
      dnf: ['ffmpeg'],
      pacman: ['ffmpeg'],
      apk: ['ffmpeg'],
      brew: ['ffmpeg'],
      winget: ['ffmpeg'],
    },
    present: () => usable('RAFFI_FFMPEG_BIN', 'ffmpeg') && usable('RAFFI_FFPROBE_BIN', 'ffprobe'),
  },
  chromium: {
    name: 'Chromium',
    packages: { apt: ['chromium'], dnf: ['chromium'], pacman: ['chromium'], apk: ['chromium'] },
    present: () => onPath('chromium') !== undefined,
  },
  font: {
    name: 'a font',
    packages: { apt: ['fonts-dejavu-core'], dnf: ['dejavu-sans-fonts'], pacman: ['ttf-dejavu'], apk: ['font-dejavu'] },
    present: () => process.platform !== 'linux' || hasFont(),
  },
  ip: {
    name: 'iproute2',
    packages: { apt: ['iproute2'], dnf: ['iproute'], pacman: ['iproute2'], apk: ['iproute2'] },
    // It makes the other host of a test, which only root can; the test says so when there is none.
    present: () => process.platform !== 'linux' || !isRoot() || onPath('ip') !== undefined,
  },
  libtorrent: {
    name: 'libtorrent for Python',
    packages: { apt: ['python3-libtorrent'], dnf: ['rb_libtorrent-python3'], pacman: ['libtorrent-rasterbar'] },
    // Debian's package is for Debian's Python, whatever else is first on PATH.
    present: () => spawnSync('/usr/bin/python3', ['-c', 'import libtorrent'], { stdio: 'ignore' }).status === 0,
  },
  transmission: {
    name: 'Transmission',
    packages: { apt: ['transmission-daemon'], dnf: ['transmission-daemon'], pacman: ['transmission-cli'] },
    present: () => onPath('transmission-daemon') !== undefined,
  },
  aria2: {
    name: 'aria2',
    packages: { apt: ['aria2'], dnf: ['aria2'], pacman: ['aria2'], apk: ['aria2'] },
    present: () => onPath('aria2c') !== undefined,
  },
};

/** Package managers in the order in which they are looked for, and the line that installs with them. */
const MANAGERS = [
  { name: 'apt', command: 'apt-get', line: 'apt-get update && apt-get install -y --no-install-recommends', root: true },
  { name: 'dnf', command: 'dnf', line: 'dnf install -y', root: true },
  { name: 'pacman', command: 'pacman', line: 'pacman -S --noconfirm', root: true },
  { name: 'apk', command: 'apk', line: 'apk add', root: true },
  { name: 'brew', command: 'brew', line: 'brew install', root: false },
  { name: 'winget', command: 'winget', line: 'winget install', root: false },
];

class SetupError extends Error {}

/** @param {string} command @returns {string | undefined} the path of an executable found on PATH */
function onPath(command) {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    for (const extension of WINDOWS ? ['.exe', '.cmd'] : ['']) {
      const path = join(directory || '.', command + extension);
      try {
        accessSync(path, constants.X_OK);
        if (statSync(path).isFile()) return path;
      } catch {
        // Not here.
      }
    }
  }
  return undefined;
}

/** Whether the command that a variable names, or else the one on PATH, runs. @param {string} variable @param {string} command */
function usable(variable, command) {
  const named = process.env[variable];
  for (const path of [named, onPath(command)])
    if (path && spawnSync(path, ['-version'], { stdio: 'ignore', timeout: 10_000 }).status === 0) return true;
  return false;
}

function hasFont() {
  for (const directory of ['/usr/share/fonts', '/usr/local/share/fonts']) {
    if (!existsSync(directory)) continue;
    if (readdirSync(directory, { recursive: true }).some((name) => /\.(ttf|otf|ttc|pfb)$/i.test(String(name))))
      return true;
  }
  return false;
}

const isRoot = () => process.getuid?.() === 0;

/**
 * Whether `npm ci` has installed what the lockfile says. npm leaves its own copy of the lockfile when it is done; what
 * that one lacks are optional packages of other platforms.
 */
function dependenciesInstalled() {
  /** @param {string} path @returns {Record<string, { version?: string, integrity?: string, optional?: boolean }>} */
  const packagesIn = (path) => JSON.parse(readFileSync(join(ROOT, path), 'utf8')).packages;
  try {
    const installed = packagesIn('node_modules/.package-lock.json');
    return Object.entries(packagesIn('package-lock.json')).every(([path, wanted]) => {
      const found = installed[path];
      if (path === '' || (!found && wanted.optional)) return true;
      return found?.version === wanted.version && found?.integrity === wanted.integrity;
    });
  } catch {
    return false;
  }
}

/** Whether the Node that runs this file could run the server. */
function nodeIsNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > OLDEST_NODE.major || (major === OLDEST_NODE.major && minor >= OLDEST_NODE.minor);
}

/**
 * Runs a command to its end; when it fails, its last words without the addresses of registries and mirrors.
 * @param {string} command
 * @param {string[]} args
 * @param {Record<string, string>} [variables]
 */
function run(command, args, variables = {}) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    shell: WINDOWS && command.endsWith('.cmd'),
  });
  if (status === 0) return;
  const words = `${stdout ?? ''}\n${stderr ?? ''}`
    .replace(/\b[a-z]+:\/\/[^\s/'"]+/gi, '(address)')
    .split('\n')
    .filter((line) => /^(npm (err|error)|E:|W:|error)/i.test(line))
    .slice(0, 12);
  const outcome = error ? error.message : `ended with ${signal ?? `status ${status}`}`;
  throw new SetupError([`${command} ${args.join(' ')} ${outcome}`, ...words].join('\n  '));
}

function installDependencies() {
  console.log('Installing dependencies (npm ci) ...');
  const args = ['ci', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  // The Node that runs npm, not the one of the dependencies, which `npm ci` is about to replace.
  if (npm?.endsWith('.js')) run(process.env.npm_node_execpath ?? process.execPath, [npm, ...args]);
  else run(onPath('npm') ?? 'npm', args);
}

function checkRuntime() {
  if (existsSync(BUNDLED_NODE)) {
    const { status } = spawnSync(BUNDLED_NODE, ['--version'], { stdio: 'ignore', shell: WINDOWS });
    if (status === 0) return;
    throw new SetupError(
      `The Node that comes with the dependencies does not run here (${process.platform}, ${process.arch}).`,
    );
  }
  if (!nodeIsNewEnough())
    throw new SetupError(
      `For this platform (${process.platform}, ${process.arch}) no Node comes with the dependencies: install Node ${OLDEST_NODE.major}.${OLDEST_NODE.minor} or later.`,
    );
}

/**
 * The line that a person has to type for these tools.
 * @param {Tool[]} tools
 */
function lineToType(tools) {
  const manager = MANAGERS.find(({ command }) => onPath(command));
  const packages = manager ? tools.flatMap((tool) => tool.packages[manager.name] ?? []) : [];
  if (!manager || packages.length === 0) return undefined;
  const line = `${manager.line} ${packages.join(' ')}`;
  return manager.root && !isRoot() ? line.replace(/(^|&& )/g, '$1sudo ') : line;
}

/**
 * Installs by apt, as root; with any other package manager, and for other people, that is theirs to do.
 * @param {Tool[]} tools
 */
function installTools(tools) {
  const names = tools.map(({ name }) => name).join(', ');
  const apt = onPath('apt-get');
  if (!apt || !isRoot()) return;
  console.log(`Installing ${names} (apt-get) ...`);
  const variables = { DEBIAN_FRONTEND: 'noninteractive' };
  const options = ['-o', 'DPkg::Lock::Timeout=120'];
  try {
    // One unreachable source among several need not matter: the installation will tell.
    run(apt, [...options, 'update'], variables);
  } catch (error) {
    console.error(messageOf(error));
  }
  try {
    run(
      apt,
      [...options, 'install', '-y', '--no-install-recommends', ...tools.flatMap((tool) => tool.packages.apt ?? [])],
      variables,
    );
  } catch (error) {
    console.error(messageOf(error));
  }
}

/** @param {unknown} error */
const messageOf = (error) => (error instanceof Error ? error.message : String(error));

function verify() {
  const installed = existsSync(join(ROOT, 'node_modules', '.package-lock.json'));
  if (installed && (existsSync(BUNDLED_NODE) || nodeIsNewEnough())) return;
  throw new SetupError(
    `${installed ? 'The Node of this project' : 'What this project depends on'} is not installed: run \`npm run setup\` first.`,
  );
}

/** @param {boolean} forTests */
function setup(forTests) {
  if (!dependenciesInstalled()) installDependencies();
  checkRuntime();
  // A server that is compiled at its first start starts all the same.
  spawnSync(existsSync(BUNDLED_NODE) ? BUNDLED_NODE : process.execPath, [join(ROOT, 'scripts', 'compile.mjs')], {
    stdio: 'ignore',
    shell: WINDOWS,
  });
  const wanted = forTests ? Object.values(TOOLS) : [TOOLS.ffmpeg];
  let missing = wanted.filter((tool) => !tool.present());
  if (missing.length > 0) installTools(missing);
  missing = missing.filter((tool) => !tool.present());
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(', ');
    const line = lineToType(missing);
    const advice = line ? `To install, type:  ${line}` : 'Install it and put it on PATH.';
    if (forTests) throw new SetupError(`The tests need ${names}. ${advice}`);
    console.log(`${names} is missing; videos that need no conversion play without it. ${advice}`);
  }
  if (!forTests) console.log('Ready: npm start');
}

try {
  if (process.argv.includes('--verify')) verify();
  else setup(process.argv.includes('--test'));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
