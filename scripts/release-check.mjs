/**
 * Does everything that a release needs, and publishes nothing. Each check is a line: `ok`, `FAILED`, `skipped` for what this machine cannot do, and `TO DO`
 * for what only whoever releases can decide, which is no fault of the project. Status 0: it could be released as it is.
 *
 *   npm run release:check               all of it; the tests take minutes
 *   npm run release:check -- --quick    without the tests, the executables and the container
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const quick = process.argv.includes('--quick');
const read = (/** @type {string} */ path) => readFileSync(join(ROOT, path), 'utf8');
/** @type {{ version: string, repository: { url: string }, scripts: Record<string, string>, dependencies: Record<string, string>, devDependencies: Record<string, string> }} */
const manifest = JSON.parse(read('package.json'));
const { version } = manifest;

/** What could not be checked here, and why. */
class Skipped extends Error {}

/** What the one who releases has to do yet. */
class ToDo extends Error {}

/** The words of a command. @param {string} command @param {...string} args */
function words(command, ...args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0)
    throw new Error(
      `${command} ${args.join(' ')}: ${error?.message ?? stripVTControlCharacters(`${stdout}${stderr}`).trim().slice(-4_000)}`,
    );
  return stdout.trim();
}

/** Runs one of the project's scripts; what it says is shown when it fails. @param {string} name */
const script = (name) => {
  if (!(name in manifest.scripts)) throw new Skipped(`there is no script ${name}`);
  return words('npm', 'run', '--silent', name);
};

/** @param {boolean} holds @param {string} sentence */
function must(holds, sentence) {
  if (!holds) throw new Error(sentence);
}

/** @param {boolean} holds @param {string} sentence what to do, and where */
function shouldBeDone(holds, sentence) {
  if (!holds) throw new ToDo(sentence);
}

/** @type {readonly (readonly [what: string, check: () => string | void, slow?: true])[]} */
const CHECKS = [
  ['nothing is uncommitted', () => must(words('git', 'status', '--porcelain') === '', 'there are changes: git status')],
  [
    'the version is one',
    () => {
      must(/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version), `package.json: ${version} is no version`);
      const lock = JSON.parse(read('package-lock.json'));
      must(
        lock.version === version && lock.packages[''].version === version,
        'package-lock.json has another: npm install --package-lock-only',
      );
      // Whatever else would tell a version of its own.
      const copies = globSync('{src,bin,web,deploy,scripts}/**/*.{ts,mjs,js,html,service}', { cwd: ROOT }).filter(
        (path) => read(path).includes(`'${version}'`),
      );
      must(copies.length === 0, `the version is written in ${copies.join(', ')} too`);
      return version;
    },
  ],
  [
    'the changelog has it, with its date',
    () => {
      const [, date] =
        new RegExp(`^## ${version.replaceAll('.', '\\.')} \\((.*)\\)$`, 'm').exec(read('CHANGELOG.md')) ?? [];
      must(date !== undefined, `CHANGELOG.md has no heading "## ${version} (YYYY-MM-DD)"`);
      shouldBeDone(
        /^\d{4}-\d\d-\d\d$/.test(date ?? ''),
        `CHANGELOG.md says "## ${version} (${date})": put the date there, as YYYY-MM-DD`,
      );
      return date;
    },
  ],
  [
    'no tag has it yet, but of this commit',
    () => {
      const tagged = words('git', 'tag', '--list', `v${version}`) && words('git', 'rev-list', '-n1', `v${version}`);
      must(!tagged || tagged === words('git', 'rev-parse', 'HEAD'), `v${version} is another commit`);
    },
  ],
  [
    'package.json names this repository',
    () => {
      const { url } = manifest.repository;
      shouldBeDone(
        !/\bOWNER\b/.test(url),
        `in package.json, repository.url is ${url}: put the repository's owner in the place of OWNER, or npm refuses to make the statement of provenance (docs/deployment.md, "Releases")`,
      );
      const actions = process.env.GITHUB_REPOSITORY;
      const { stdout } = spawnSync('git', ['remote', 'get-url', 'origin'], { cwd: ROOT, encoding: 'utf8' });
      const [, here] =
        /github\.com[/:]([^/]+\/[^/]+?)(?:\.git)?$/.exec(actions ? `github.com/${actions}` : stdout.trim()) ?? [];
      if (here === undefined) throw new Skipped('this clone has no origin on GitHub');
      must(url === `git+https://github.com/${here}.git`, `repository is ${url}, this is ${here}`);
      return here;
    },
  ],
  [
    'versions are exact, and each dependency is explained',
    () => {
      const all = { ...manifest.dependencies, ...manifest.devDependencies };
      const explained = read('docs/dependencies.md');
      for (const [name, wanted] of Object.entries(all)) {
        must(/^\d/.test(wanted), `${name}: ${wanted} is not exact`);
        must(explained.includes(`\`${name}\``), `docs/dependencies.md does not name ${name}`);
      }
    },
  ],
  [
    'the lockfile is complete',
    () => must(/is complete/.test(words(process.execPath, 'scripts/complete-lockfile.mjs')), 'it was not: commit it'),
  ],
  ['types, lint, unused code', () => void script('check')],
  ['publint and attw', () => void script('check:package')],
  [
    'the package, as npm would publish it',
    () => {
      const told = JSON.parse(words('npm', 'publish', '--dry-run', '--json', '--ignore-scripts'));
      const { filename, size, entryCount } = told.filename ? told : Object.values(told)[0];
      return `${filename}: ${entryCount} files, ${Math.round(size / 1000)} kB`;
    },
  ],
  [
    'all tests, installing the package among them',
    () => `${/^\S+ pass (\d+)$/m.exec(stripVTControlCharacters(script('test')))?.[1]} passed`,
    true,
  ],
  ['the executables', () => void script('build:binaries'), true],
  [
    'the container',
    () => {
      if (process.platform !== 'linux' || process.getuid?.() !== 0) throw new Skipped('it needs Linux and root');
      if (spawnSync('which', ['debootstrap']).status !== 0) throw new Skipped('there is no debootstrap');
      script('prove:container');
    },
    true,
  ],
];

const count = { ok: 0, FAILED: 0, skipped: 0, 'TO DO': 0 };

/** @param {keyof typeof count} outcome @param {string} sentence */
function tell(outcome, sentence) {
  count[outcome]++;
  console.log(`${outcome.padEnd(8)} ${sentence}`);
}

for (const [what, check, slow] of CHECKS) {
  try {
    if (slow && quick) throw new Skipped('--quick');
    if (slow) console.log(`...      ${what}: this takes minutes`);
    const fact = check();
    tell('ok', `${what}${fact ? `: ${fact}` : ''}`);
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error);
    const outcome = error instanceof Skipped ? 'skipped' : error instanceof ToDo ? 'TO DO' : 'FAILED';
    tell(outcome, `${what}: ${sentence}`);
  }
}
console.log(
  `${count.ok} ok, ${count.FAILED} failed, ${count['TO DO']} to do, ${count.skipped} skipped. Nothing was published.`,
);
const could = count.FAILED === 0 && count['TO DO'] === 0;
const not = count.FAILED === 0 ? 'nothing is wrong with it, but what is TO DO comes first' : 'something is wrong';
console.log(could ? `${version} could be released.` : `${version} can't be released: ${not}.`);
process.exitCode = could ? 0 : 1;
