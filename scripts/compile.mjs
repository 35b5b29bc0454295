// Compiles the server into the cache that `bin/raffi-server.mjs` uses, so that the first start is as quick, and as small, as those that follow.
// Run by set-up under the project's own Node: what it keeps is for that one alone. In a container's image it lies beside the compiled sources.
import { globSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import '../bin/compile-cache.mjs';

const ROOT = new URL('../', import.meta.url);

/** Tests and their helpers; and what does its work when it is loaded: the worker, and the entry of executables. */
const LEFT_OUT = /\.d\.ts$|\.test\.ts$|(?:^|[\\/])(?:test-[^\\/]*|testing|worker|executable)\.[jt]s$/;
const files = globSync('src/**/*.{js,ts}', { cwd: fileURLToPath(ROOT) }).filter((file) => !LEFT_OUT.test(file));
await Promise.all(files.map((file) => import(pathToFileURL(fileURLToPath(new URL(file, ROOT))).href)));
flushCompileCache();
