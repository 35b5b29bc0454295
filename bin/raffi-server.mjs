#!/usr/bin/env node
// Plain JavaScript, and everything else imported after the cache is on: so neither is the code compiled, nor the compiler of types loaded, at every start.
// That is 40 % of the time to listening and 18 MB of memory. Where the folder can't be written, nothing is kept.
import { enableCompileCache, flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

// What this server holds is bytes outside of the heap and a heap of some 30 MB: letting garbage of opened indexes wait until the heap has doubled
// costs 40 to 60 MB of resident memory and saves no CPU time that bench/foundation.ts can see.
setFlagsFromString('--heap-growing-percent=20');

const cache = fileURLToPath(new URL('../.cache/compile', import.meta.url));
enableCompileCache(cache);
// For worker threads: the torrent engine is there four times as soon.
process.env.NODE_COMPILE_CACHE ??= cache;
setTimeout(flushCompileCache, 2_000).unref();
const { main } = await import('../src/main.ts');
await main();
