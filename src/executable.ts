/** What executables run: the server, or the licences of all that is inside. */
import { embedded } from './lib/embedded.ts';
import { main } from './main.ts';

if (['--licences', '--licenses'].includes(process.argv[2] ?? '')) process.stdout.write(embedded('licences.txt') ?? '');
else void main();
