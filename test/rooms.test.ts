/**
 * The rooms of `src/` and who may use whom (docs/architecture.md). The table is the rule: a new room gets a line, a new
 * way through a wall gets a decision in `docs/decisions/` first.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { test } from 'node:test';

/** A room is a folder of `src/`, or a file in it. It may use itself, the rooms in `uses`, and the types of those in `types`. */
const ROOMS: Record<string, { readonly uses: readonly string[]; readonly types?: readonly string[] }> = {
  'errors.ts': { uses: [] },
  'config.ts': { uses: ['errors.ts', 'lib'] },
  lib: { uses: ['errors.ts'] },
  hls: { uses: ['errors.ts', 'lib'], types: ['media'] },
  source: { uses: ['errors.ts', 'lib'] },
  media: { uses: ['errors.ts', 'lib', 'hls', 'source'] },
  ffmpeg: { uses: ['errors.ts', 'lib', 'source'], types: ['media'] },
  torrent: { uses: ['errors.ts', 'lib', 'source'] },
  presentation: { uses: ['errors.ts', 'lib', 'hls', 'source', 'media', 'ffmpeg'] },
  session: { uses: ['errors.ts', 'lib', 'hls', 'source', 'torrent', 'media', 'ffmpeg', 'presentation'] },
  cast: { uses: ['errors.ts', 'lib'] },
  health: { uses: ['errors.ts', 'lib', 'ffmpeg'] },
  metrics: {
    uses: ['errors.ts', 'lib', 'source'],
    types: ['health', 'presentation', 'session', 'clip', 'torrent'],
  },
  catalogue: { uses: ['errors.ts', 'lib', 'source'] },
  clip: { uses: ['errors.ts', 'lib', 'hls', 'source', 'media', 'ffmpeg', 'presentation', 'session'] },
  http: {
    uses: [
      'errors.ts',
      'config.ts',
      'lib',
      'hls',
      'source',
      'torrent',
      'session',
      'cast',
      'clip',
      'catalogue',
      'health',
    ],
    types: ['media', 'ffmpeg', 'presentation', 'metrics'],
  },
  'app.ts': {
    uses: [
      'errors.ts',
      'version.ts',
      'config.ts',
      'lib',
      'hls',
      'source',
      'torrent',
      'media',
      'ffmpeg',
      'presentation',
      'session',
      'cast',
      'clip',
      'catalogue',
      'health',
      'metrics',
      'http',
    ],
  },
  'version.ts': { uses: ['lib'] },
  'log.ts': { uses: ['lib'] },
  'index.ts': { uses: ['lib', 'config.ts', 'log.ts', 'app.ts'] },
  cli: {
    uses: ['errors.ts', 'config.ts', 'log.ts', 'lib', 'source', 'http', 'app.ts'],
    types: ['media', 'presentation', 'session'],
  },
  'main.ts': { uses: ['errors.ts', 'config.ts', 'version.ts', 'lib', 'cli'] },
  'executable.ts': { uses: ['lib', 'main.ts'] },
};

/** Packages that only some rooms may import, as a value or a type. */
const PACKAGES: readonly { readonly name: RegExp; readonly rooms: readonly string[] }[] = [
  { name: /^(node:)?child_process$/, rooms: ['ffmpeg', 'cli'] },
  { name: /^@?fastify(\/|$)/, rooms: ['http', 'app.ts'] },
  { name: /^mediabunny(\/|$)/, rooms: ['media'] },
  { name: /^prom-client$/, rooms: ['metrics'] },
  { name: /^bittorrent-/, rooms: ['torrent'] },
  { name: /^node-datachannel(\/|$)/, rooms: ['torrent'] },
];

/** Reading the environment, in any spelling, is for one file. */
const ENVIRONMENT = /\bprocess\s*(\?\.|\.)\s*env\b|\bprocess\s*\[|\benv\b[^;]*\bfrom\s*'(node:)?process'/;
const ENVIRONMENT_READER = 'config.ts';
/** main.ts hands it to its reader. */
const ENVIRONMENT_HANDED = 'readConfig(process.env)';

/** Tests, and what stands beside them for their use: bound by no wall, and of no use to anybody else. */
const TEST_CODE = /\.test\.ts$|(^|\/)test(ing|-[\w-]+)\.ts$/;

const MOST_LINES = 500;

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}

/** What a file imports and exports from elsewhere. The code's format is biome's: single quotes, statements at the start of a line. */
function importsOf(code: string): Import[] {
  const imports: Import[] = [];
  for (const match of code.matchAll(
    /^(?:import|export)\b(?:\s+(type)\b)?(?=[\s{*])[^'"`;=]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  ))
    imports.push({ from: match[2]!, typeOnly: match[1] === 'type' });
  for (const match of code.matchAll(/^import\s*['"]([^'"]+)['"]/gm)) imports.push({ from: match[1]!, typeOnly: false });
  for (const match of code.matchAll(/(?<![.\w])(?:import|require)\s*\(\s*(?:['"]([^'"]+)['"])?/g))
    imports.push({ from: match[1] ?? 'what is not a literal', typeOnly: false });
  return imports;
}

const withoutComments = (text: string): string =>
  text.replace(/^[ \t]*\/\*[\s\S]*?\*\//gm, '').replace(/(^|\s)\/\/.*$/gm, '$1');

const roomOf = (path: string): string => path.split('/', 1)[0]!;

/** What is wrong with these files (path below `src/` -> text), one sentence each; none when all is well. */
function violations(files: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  const graph = new Map<string, string[]>();
  for (const [path, text] of files) {
    const lines = text.trimEnd().split('\n').length;
    if (lines > MOST_LINES) found.push(`${path} has ${lines} lines: ${MOST_LINES} are the most, split it by subject`);
    if (TEST_CODE.test(path)) continue;
    const code = withoutComments(text).replace(path === 'main.ts' ? ENVIRONMENT_HANDED : '', '');
    if (ENVIRONMENT.test(code) && path !== ENVIRONMENT_READER)
      found.push(`${path} reads the environment: only ${ENVIRONMENT_READER} does`);
    const imports = importsOf(code);
    found.push(...imports.flatMap((one) => faultOf(path, one, files) ?? []));
    graph.set(
      path,
      imports.filter(({ from }) => from.startsWith('.')).map(({ from }) => posix.join(dirname(path), from)),
    );
  }
  return [...found, ...cycles(graph)];
}

/** What is wrong with one import. */
function faultOf(path: string, { from, typeOnly }: Import, files: ReadonlyMap<string, string>): string | undefined {
  const room = roomOf(path);
  const rule = ROOMS[room];
  if (!rule) return `${path}: the room ${room} is not in the table of test/rooms.test.ts`;
  if (!from.startsWith('.')) {
    if (from.includes(' ')) return `${path} imports ${from}`;
    const wall = PACKAGES.find(({ name, rooms }) => name.test(from) && !rooms.includes(room));
    return wall && `${path} imports ${from}: only ${wall.rooms.join(' and ')} may`;
  }
  const target = posix.join(dirname(path), from);
  if (target.startsWith('..')) return `${path} imports ${from}, which is outside src/`;
  if (TEST_CODE.test(target)) return `${path} imports what is for tests, ${from}`;
  if (!files.has(target)) return `${path} imports ${from}, which does not exist`;
  const other = roomOf(target);
  if (other === room || rule.uses.includes(other)) return undefined;
  if (rule.types?.includes(other))
    return typeOnly ? undefined : `${path} uses ${target}: ${room} may only import its types`;
  return `${path} uses ${target}: ${room} may not use ${other}`;
}

/** Files that import each other in a circle, types included; each circle once. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): void => {
    const start = trail.indexOf(file);
    if (start >= 0) found.push(`a circle of imports: ${[...trail.slice(start), file].join(' -> ')}`);
    if (start >= 0 || done.has(file)) return;
    trail.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    trail.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

test('src/ keeps to its rooms', async () => {
  const src = join(import.meta.dirname, '../src');
  const files = new Map<string, string>();
  for await (const path of glob('**/*.ts', { cwd: src }))
    files.set(path.replaceAll('\\', '/'), readFileSync(join(src, path), 'utf8'));
  assert.ok(files.size > 3, `${files.size} files`);
  assert.deepEqual(violations(files), []);
});

/** Files that break one rule, and the sentence that says so. */
const BAD: readonly (readonly [sentence: string, files: Record<string, string>])[] = [
  [
    'lib/a.ts uses media/b.ts: lib may not use media',
    { 'lib/a.ts': "import { b } from '../media/b.ts';\n", 'media/b.ts': '' },
  ],
  [
    'lib/a.ts uses media/b.ts: lib may not use media',
    { 'lib/a.ts': "import type {\n  B,\n  C,\n} from '../media/b.ts';\n", 'media/b.ts': '' },
  ],
  [
    'media/a.ts uses http/b.ts: media may not use http',
    { 'media/a.ts': "export * from '../http/b.ts';\n", 'http/b.ts': '' },
  ],
  [
    'source/a.ts uses media/b.ts: source may not use media',
    { 'source/a.ts': "const b = await import('../media/b.ts');\n", 'media/b.ts': '' },
  ],
  [
    'hls/a.ts uses source/b.ts: hls may not use source',
    { 'hls/a.ts': "import '../source/b.ts';\n", 'source/b.ts': '' },
  ],
  [
    'hls/a.ts uses media/b.ts: hls may only import its types',
    { 'hls/a.ts': "import { type B } from '../media/b.ts';\n", 'media/b.ts': '' },
  ],
  [
    'session/a.ts uses config.ts: session may not use config.ts',
    { 'session/a.ts': "import { c } from '../config.ts';\n", 'config.ts': '' },
  ],
  [
    'session/a.ts uses app.ts: session may not use app.ts',
    { 'session/a.ts': "import { c } from '../app.ts';\n", 'app.ts': '' },
  ],
  [
    'tools/a.ts: the room tools is not in the table of test/rooms.test.ts',
    { 'tools/a.ts': "import { b } from 'b';\n" },
  ],
  [
    'media/a.ts imports node:child_process: only ffmpeg and cli may',
    { 'media/a.ts': "import { spawn } from 'node:child_process';\n" },
  ],
  [
    'session/a.ts imports fastify: only http and app.ts may',
    { 'session/a.ts': "import type { FastifyReply } from 'fastify';\n" },
  ],
  [
    'session/a.ts imports @fastify/swagger: only http and app.ts may',
    { 'session/a.ts': "import s from '@fastify/swagger';\n" },
  ],
  ['lib/a.ts imports what is not a literal', { 'lib/a.ts': 'await import(name);\n' }],
  ['lib/a.ts imports ../../test/b.ts, which is outside src/', { 'lib/a.ts': "import { b } from '../../test/b.ts';\n" }],
  [
    'lib/a.ts imports what is for tests, ./testing.ts',
    { 'lib/a.ts': "import { b } from './testing.ts';\n", 'lib/testing.ts': '' },
  ],
  [
    'lib/a.ts imports what is for tests, ./b.test.ts',
    { 'lib/a.ts': "import { b } from './b.test.ts';\n", 'lib/b.test.ts': '' },
  ],
  ['lib/a.ts imports ./gone.ts, which does not exist', { 'lib/a.ts': "import { b } from './gone.ts';\n" }],
  ['lib/a.ts reads the environment: only config.ts does', { 'lib/a.ts': 'const debug = process.env.DEBUG;\n' }],
  ['lib/a.ts reads the environment: only config.ts does', { 'lib/a.ts': "import { env } from 'node:process';\n" }],
  [
    'a circle of imports: lib/a.ts -> lib/b.ts -> lib/c.ts -> lib/a.ts',
    {
      'lib/a.ts': "import './b.ts';\n",
      'lib/b.ts': "import './c.ts';\n",
      'lib/c.ts': "import type { A } from './a.ts';\n",
    },
  ],
  ['lib/a.ts has 501 lines: 500 are the most, split it by subject', { 'lib/a.ts': 'x;\n'.repeat(501) }],
];

test('each rule can be broken', () => {
  for (const [sentence, files] of BAD) assert.deepEqual(violations(new Map(Object.entries(files))), [sentence]);
});

test('what only looks like a fault is none', () => {
  const fine = {
    'lib/a.ts':
      "// import { b } from '../media/b.ts';\n/**\n * process.env, import('fastify')\n */\nexport const from = 'x'; // await import(y)\n",
    'lib/a.test.ts': "import { spawn } from 'node:child_process';\nimport { m } from '../media/b.ts';\n",
    'media/b.ts': "import { from } from '../lib/a.ts';\nexport const important = reader.import(from);\n",
    'hls/a.ts': "import type { B } from '../media/b.ts';\n",
    'main.ts': "import { readConfig } from './config.ts';\nreadConfig(process.env);\n",
    'config.ts': 'export const debug = process.env.DEBUG;\n',
  };
  assert.deepEqual(violations(new Map(Object.entries(fine))), []);
});
