/**
 * The server as a process and Chromium with its page, for tests. Whoever starts one disposes of it; disposing resolves when the process has exited.
 */
import { after, before } from 'node:test';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { PICTURE_HEIGHT, PICTURE_WIDTH, readNumber } from '../fixtures/frame-number.ts';
import { listeningUrl, spawnServer } from '../fixtures/server-process.ts';

const CHROMIUM = process.env.RAFFI_TEST_CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
];

export interface RunningServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
}

/** Starts the server on a free port of 127.0.0.1. @param more variables of its environment. */
export async function startServer(more: Record<string, string> = {}): Promise<RunningServer> {
  const server = spawnServer({ HOME: process.env.HOME ?? '/tmp', ...more });
  return { url: await listeningUrl(server), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** @param more flags, besides the usual ones. */
export function launchBrowser(more: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: [...FLAGS, ...more] });
}

/** A server, and Chromium to look at it with. */
export interface Stage {
  readonly server: RunningServer;
  readonly browser: Browser;
  /** As `PlayerPage.open`. */
  open(address?: string, options?: BrowserContextOptions): Promise<PlayerPage>;
}

/**
 * The stage of the suite that calls this: there before its first test, and gone after its last.
 * @param prepare comes first; what it resolves with are variables of the server's environment.
 * @param flags of Chromium, besides the usual ones.
 */
export function useStage(
  prepare: () => Promise<Record<string, string> | undefined> = async () => undefined,
  flags: readonly string[] = [],
): Stage {
  let server: RunningServer;
  let browser: Browser;
  before(async () => {
    server = await startServer(await prepare());
    browser = await launchBrowser(flags);
  });
  after(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
  });
  return {
    get server() {
      return server;
    },
    get browser() {
      return browser;
    },
    open: (address, options) => PlayerPage.open(browser, server, address, options),
  };
}

/** One page on the player, with what went wrong in it. */
export class PlayerPage implements AsyncDisposable {
  readonly page: Page;
  /** Exceptions and console errors (refused scripts and styles among them), except failed requests. */
  readonly troubles: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('pageerror', (error) => this.troubles.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        this.troubles.push(message.text());
    });
  }

  /** @param address what follows the server's URL. */
  static async open(
    browser: Browser,
    server: RunningServer,
    address = '/',
    options: BrowserContextOptions = {},
  ): Promise<PlayerPage> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, ...options });
    const opened = new PlayerPage(await context.newPage());
    await opened.page.goto(server.url + address);
    return opened;
  }

  /** Pastes a source on the start page and presses Enter. */
  async enter(source: string): Promise<void> {
    await this.page.fill('#source', source);
    await this.page.press('#source', 'Enter');
  }

  /** Resolves once the picture moves. */
  async playing(): Promise<void> {
    const from = await this.currentTime();
    await this.until(`video.readyState >= 3 && !video.paused && video.currentTime > ${from + 0.1}`);
  }

  /**
   * Resolves once this holds, tried anew by the debugger: `waitForFunction` needs an `eval` in the page, which its policy forbids.
   * @param condition in terms of `video`, `hls` and `session`
   * @param patience milliseconds
   */
  async until(condition: string, patience = 60_000): Promise<void> {
    const deadline = performance.now() + patience;
    const test = `(({ video, hls, session }) => Boolean(${condition}))(globalThis.__raffi)`;
    while (!(await this.page.evaluate(test))) {
      if (performance.now() > deadline) throw new Error(`This never came true: ${condition}`);
      await this.page.waitForTimeout(25);
    }
  }

  /** Seconds. */
  currentTime(): Promise<number> {
    return this.page.evaluate('globalThis.__raffi.video.currentTime');
  }

  /** The id of the session that plays now. */
  sessionId(): Promise<string> {
    return this.page.evaluate('globalThis.__raffi.session.id');
  }

  /**
   * Pauses and seeks through the element, and waits until the element says that it got there. Of frames at a boundary of segments, the one before it comes first: where
   * only the segment behind it is there yet, Chromium bridges what would be two frames and shows that one's first.
   */
  async seek(seconds: number): Promise<void> {
    await this.page.evaluate(`new Promise((resolve) => {
      const { video } = globalThis.__raffi;
      video.pause();
      video.addEventListener('seeked', resolve, { once: true });
      video.currentTime = ${seconds};
    })`);
  }

  /** The number in the picture that is shown, see `frame-number.ts`. */
  async frameNumber(): Promise<number | undefined> {
    const picture: string = await this.page.evaluate(`(() => {
      const canvas = new OffscreenCanvas(${PICTURE_WIDTH}, ${PICTURE_HEIGHT});
      const context = canvas.getContext('2d', { willReadFrequently: true });
      context.drawImage(globalThis.__raffi.video, 0, 0, canvas.width, canvas.height);
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      let grey = '';
      for (let i = 1; i < data.length; i += 4) grey += String.fromCharCode(data[i]);
      return btoa(grey);
    })()`);
    return readNumber(Buffer.from(picture, 'base64'));
  }

  /** The picture's number once it is this one, or what it is after half a minute, which decoders need on a busy machine. */
  async settledFrame(expected: number): Promise<number | undefined> {
    const deadline = performance.now() + 30_000;
    let shown = await this.frameNumber();
    while (shown !== expected && performance.now() < deadline) {
      await this.page.waitForTimeout(20);
      shown = await this.frameNumber();
    }
    return shown;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}
