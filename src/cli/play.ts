/** `raffi-server play`: the page, opened on a source, of this server or of one that is there already. */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { authorityText } from '../lib/authority.ts';
import { parseSource } from '../source/spec.ts';
import type { Command } from './arguments.ts';
import { ListenError } from './listen-error.ts';
import { serve } from './serve.ts';

type PlayCommand = Extract<Command, { name: 'play' }>;

/** A server on this machine answers at once. */
const ANSWER_MS = 3_000;

/** @throws ListenError; AppError `bad-request` for what is no source. */
export async function play(command: PlayCommand, config: Config, stop: AbortSignal): Promise<void> {
  parseSource(command.source);
  const show = (url: string): void => openPage(pageAddress(url, command), command.opens, config);
  try {
    await serve(config, stop, (url) => show(localUrl(url)));
  } catch (error) {
    if (!(error instanceof ListenError) || !error.isTaken) throw error;
    const url = localUrl(`http://${authorityText(config.listen)}`);
    if (!(await isOurs(url))) throw error;
    show(url);
  }
}

/** As `web/player.js` reads it. */
export function pageAddress(url: string, { source, at }: Pick<PlayCommand, 'source' | 'at'>): string {
  return `${url}/#source=${encodeURIComponent(source)}${at > 0 ? `&t=${at}` : ''}`;
}

/** A server that listens on all interfaces is reached at this machine's own address. */
export function localUrl(url: string): string {
  return url.replace(/^http:\/\/(?:0\.0\.0\.0|\[::\])(?=:|$)/, 'http://127.0.0.1');
}

async function isOurs(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(ANSWER_MS) });
    await answer.arrayBuffer();
    return answer.status === 200 && (answer.headers.get('server') ?? '').startsWith('raffi-server/');
  } catch {
    return false;
  }
}

/** Programs that open an address in the browser; none goes through a shell, which would read it in its own way. */
const OPENERS: Partial<Record<NodeJS.Platform, readonly [command: string, ...args: string[]]>> = {
  darwin: ['open'],
  win32: ['rundll32.exe', 'url.dll,FileProtocolHandler'],
};

function openPage(address: string, opens: boolean, { searchPath, hasDesktop }: Config): void {
  const [name, ...args] = OPENERS[process.platform] ?? ['xdg-open'];
  const command = opens && hasDesktop ? searchPath.map((folder) => join(folder, name)).find(isExecutable) : undefined;
  process.stdout.write(`${command === undefined ? 'Open' : 'Opening'} ${address}\n`);
  if (command === undefined) return;
  const browser = spawn(command, [...args, address], { detached: true, stdio: 'ignore' });
  const failed = (): void => void process.stdout.write(`No browser could be started: open ${address}\n`);
  browser.once('error', failed);
  browser.once('exit', (code) => {
    if (code !== 0 && code !== null) failed();
  });
  browser.unref();
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
