// Code that has been compiled is kept between starts, by version of Node and by V8's flags: whoever fills the cache and whoever uses it set them here alike.
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

// What this server holds is bytes outside of the heap and a heap of some 30 MB: letting garbage of opened indexes wait until the heap has doubled
// costs 40 to 60 MB of resident memory and saves no CPU time that bench/foundation.ts can see.
setFlagsFromString('--heap-growing-percent=20');

const folder = fileURLToPath(new URL('../.cache/compile', import.meta.url));
enableCompileCache(folder);
// For worker threads: the torrent engine is there four times as soon.
process.env.NODE_COMPILE_CACHE ??= folder;
