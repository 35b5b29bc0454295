/** What pages of other sites can do to the server, in a real browser whose resolver maps foreign names to this machine. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { numberedMedia } from '../fixtures/media.ts';
import { launchBrowser, PlayerPage, startServer, useStage } from './browser.ts';

const NAMES = ['evil.example', 'rebind.example', 'localhost.evil.example'];

/** What a foreign page tries to create a session with: name and code, an expression of `url` and `body`; a promise of what it could read. */
const CREATE: Readonly<Record<string, string>> = {
  'fetch JSON': `fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body }).then((r) => r.text())`,
  'fetch text': `fetch(url, { method: 'POST', body }).then((r) => r.text())`,
  'fetch with credentials': `fetch(url, { method: 'POST', body, credentials: 'include' }).then((r) => r.text())`,
  'no-cors fetch': `fetch(url, { method: 'POST', mode: 'no-cors', body }).then((r) => r.text())`,
  'no-cors fetch of a blob': `fetch(url, { method: 'POST', mode: 'no-cors', body: new Blob([body], { type: 'application/json' }) }).then((r) => r.text())`,
  'fetch without a referrer': `fetch(url, { method: 'POST', mode: 'no-cors', referrerPolicy: 'no-referrer', body }).then((r) => r.text())`,
  beacon: `Promise.resolve(navigator.sendBeacon(url, body)).then(() => '')`,
  'JSON beacon': `Promise.resolve(navigator.sendBeacon(url, new Blob([body], { type: 'application/json' }))).then(() => '')`,
  XMLHttpRequest: `new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.onload = () => resolve(xhr.responseText);
    xhr.onerror = reject;
    xhr.open('POST', url);
    xhr.setRequestHeader('content-type', 'application/json');
    xhr.send(body);
  })`,
  form: `new Promise((resolve) => {
    const frame = document.body.appendChild(document.createElement('iframe'));
    frame.name = 'answer';
    const form = document.body.appendChild(document.createElement('form'));
    Object.assign(form, { action: url, method: 'POST', enctype: 'text/plain', target: 'answer' });
    const field = form.appendChild(document.createElement('input'));
    field.name = body.slice(0, -1) + ',"x":"';
    field.value = '"}';
    frame.onload = () => { try { resolve(frame.contentDocument?.body.innerText ?? ''); } catch { resolve(''); } };
    form.submit();
  })`,
};

/** How a foreign page tries to read what `GET url` answers. */
const READ: Readonly<Record<string, string>> = {
  fetch: `fetch(url).then((r) => r.text())`,
  'no-cors fetch': `fetch(url, { mode: 'no-cors' }).then((r) => r.text())`,
  'fetch with credentials': `fetch(url, { credentials: 'include' }).then((r) => r.text())`,
  worker: `new Promise((resolve, reject) => {
    const code = 'fetch(' + JSON.stringify(url) + ').then((r) => r.text()).then(postMessage, () => postMessage(""))';
    const worker = new Worker(URL.createObjectURL(new Blob([code])));
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
  })`,
  frame: `new Promise((resolve) => {
    const frame = document.createElement('iframe');
    frame.onload = () => { try { resolve(frame.contentDocument?.body.innerText ?? ''); } catch { resolve(''); } };
    frame.src = url;
    document.body.append(frame);
  })`,
  script: `new Promise((resolve) => {
    const script = document.createElement('script');
    script.onload = () => resolve('it ran');
    script.onerror = () => resolve('');
    script.src = url;
    document.head.append(script);
  })`,
};

/** What an expression could read; a request that the browser makes nothing of ends with neither an answer nor an error. */
const outcome = (expression: string): string =>
  `Promise.race([(async () => ${expression})(), new Promise((resolve) => setTimeout(resolve, 3000, ''))]).catch(() => '')`;

describe('pages of other sites', { timeout: 300_000 }, () => {
  let site: Server;
  let film: string;
  let id: string;

  const stage = useStage(
    async () => undefined,
    [`--host-resolver-rules=${NAMES.map((name) => `MAP ${name} 127.0.0.1`).join(',')}`],
  );
  before(async () => {
    film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    const library = await readFile(createRequire(import.meta.url).resolve('hls.js/dist/hls.min.js'));
    site = createServer(({ url }, response) => {
      if (url === '/hls.js') response.setHeader('content-type', 'text/javascript').end(library);
      else
        response
          .setHeader('content-type', 'text/html')
          .end('<!doctype html><body><script src="/hls.js"></script><video muted></video>');
    }).listen(0, '127.0.0.1');
    await once(site, 'listening');
    id = await create();
  });
  after(() => void site?.close());

  async function create(): Promise<string> {
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: film }),
    };
    return ((await (await fetch(`${stage.server.url}/sessions`, init)).json()) as { id: string }).id;
  }
  const sessions = async (): Promise<string[]> =>
    ((await (await fetch(`${stage.server.url}/sessions`)).json()) as { id: string }[]).map((session) => session.id);
  const siteAt = (name: string): string => `http://${name}:${(site.address() as AddressInfo).port}/`;

  async function visit(url: string): Promise<Page & AsyncDisposable> {
    const page = await stage.browser.newPage();
    await page.goto(url);
    return Object.assign(page, { [Symbol.asyncDispose]: () => page.close() });
  }

  /** Runs one of the expressions above in a page; what it could read, `''` when it could not. */
  function attempt(page: Page, expression: string, url: string): Promise<string> {
    const variables = `const url = ${JSON.stringify(url)}; const body = ${JSON.stringify(JSON.stringify({ source: film }))};`;
    return page.evaluate(`(() => { ${variables} return ${outcome(expression)}; })()`);
  }

  /** The same in a sandboxed frame, whose origin is null. */
  function attemptSandboxed(page: Page, expression: string, url: string): Promise<string> {
    const variables = `const url = ${JSON.stringify(url)}; const body = ${JSON.stringify(JSON.stringify({ source: film }))};`;
    const code = `<body><script>${variables} ${outcome(expression)}.then((text) => parent.postMessage({ text }, '*'));</script>`;
    return page.evaluate(`new Promise((resolve) => {
      const frame = document.createElement('iframe');
      frame.sandbox = 'allow-scripts allow-forms';
      addEventListener('message', ({ data, source }) => source === frame.contentWindow && resolve(data.text));
      frame.srcdoc = ${JSON.stringify(code)};
      document.body.append(frame);
    })`);
  }

  test('create no session, whatever they send it with', async () => {
    for (const name of ['evil.example', 'localhost.evil.example']) {
      const ways = Object.entries(CREATE).filter(([way]) => name === 'evil.example' || way === 'fetch JSON');
      for (const [way, expression] of ways) {
        await using page = await visit(siteAt(name));
        assert.equal(await attempt(page, expression, `${stage.server.url}/sessions`), '', `${name}: ${way}`);
        assert.equal(await attemptSandboxed(page, expression, `${stage.server.url}/sessions`), '', `sandboxed: ${way}`);
        assert.deepEqual(await sessions(), [id], `${name}: ${way}`);
      }
    }
  });

  test('read no control answer', async () => {
    await using page = await visit(siteAt('evil.example'));
    for (const path of ['/sessions', '/health', '/openapi.json', '/capabilities', '/', '/web/player.js']) {
      for (const [way, expression] of Object.entries(READ)) {
        assert.equal(await attempt(page, expression, stage.server.url + path), '', `${path}: ${way}`);
        if (way !== 'worker')
          assert.equal(
            await attemptSandboxed(page, expression, stage.server.url + path),
            '',
            `${path}: sandboxed ${way}`,
          );
      }
    }
  });

  test('end no session that they do not know', async () => {
    await using page = await visit(siteAt('evil.example'));
    const tries = [
      `fetch(url + '/sessions/${id}', { method: 'DELETE' }).then((r) => r.text())`,
      `fetch(url + '/cleanup', { method: 'POST', mode: 'no-cors', body: '{"id":"${id}"}' }).then((r) => r.text())`,
      `Promise.resolve(navigator.sendBeacon(url + '/cleanup', '{"id":"${id}"}')).then(() => '')`,
      `fetch(url + '/cleanup?id=', { method: 'POST', mode: 'no-cors', body: '{"id":"${id}"}' }).then((r) => r.text())`,
    ];
    for (const expression of tries) {
      assert.equal(await attempt(page, expression, stage.server.url), '', expression);
      assert.deepEqual(await sessions(), [id], expression);
    }
  });

  test('lead nobody to the player that plays at once', async () => {
    await using page = await visit(siteAt('evil.example'));
    const target = `${stage.server.url}/#source=${encodeURIComponent(film)}`;
    const answered = page.waitForResponse((response) => response.url().startsWith(stage.server.url));
    await page.evaluate(`location.href = ${JSON.stringify(target)}`);
    assert.equal((await answered).status(), 403);
    await page.waitForLoadState();
    assert.deepEqual(await sessions(), [id]);
  });

  test('reach nothing by DNS rebinding', async () => {
    const { port } = new URL(stage.server.url);
    const page = await stage.browser.newPage();
    for (const name of ['rebind.example', 'evil.example']) {
      const rebound = `http://${name}:${port}`;
      const answer = await page.goto(`${rebound}/`);
      assert.equal(answer?.status(), 421);
      // The page is of one origin with the server now, so that it may read whatever it gets.
      for (const path of ['/sessions', `/sessions/${id}`, `/sessions/${id}/stream.m3u8`, '/health']) {
        assert.equal(await page.evaluate(`fetch(${JSON.stringify(rebound + path)}).then((r) => r.status)`), 421, path);
      }
      const words = await attempt(page, CREATE['fetch JSON'] as string, `${rebound}/sessions`);
      assert.equal((JSON.parse(words) as { code: string }).code, 'misdirected');
    }
    assert.deepEqual(await sessions(), [id]);
    await page.close();
  });

  test('of this machine do what the others cannot: so the tests above can fail', async () => {
    await using page = await visit(siteAt('localhost'));
    const created = JSON.parse(await attempt(page, CREATE['fetch JSON'] as string, `${stage.server.url}/sessions`)) as {
      id: string;
    };
    assert.deepEqual(await sessions(), [id, created.id]);
    assert.match(await attempt(page, READ.fetch as string, `${stage.server.url}/health`), /ok/);
    const ended = `fetch(url, { method: 'DELETE' }).then((r) => String(r.status))`;
    assert.equal(await attempt(page, ended, `${stage.server.url}/sessions/${created.id}`), '204');
    const beacon = await create();
    await using foreign = await visit(siteAt('evil.example'));
    await attempt(
      foreign,
      `Promise.resolve(navigator.sendBeacon(url)).then(() => '')`,
      `${stage.server.url}/cleanup?id=${beacon}`,
    );
    while ((await sessions()).includes(beacon)) await page.waitForTimeout(20); // who knows the id may end it
  });

  test('play an existing stream, whatever their origin', async () => {
    for (const name of ['localhost', 'evil.example']) {
      await using page = await visit(siteAt(name));
      await page.evaluate(`(() => {
        const hls = new Hls();
        hls.loadSource(${JSON.stringify(`${stage.server.url}/sessions/${id}/stream.m3u8`)});
        hls.attachMedia(document.querySelector('video'));
        hls.on('hlsMediaAttached', () => document.querySelector('video').play());
        hls.on('hlsError', (_, data) => { if (data.fatal) document.title = data.details; });
      })()`);
      const deadline = performance.now() + 60_000;
      while (!(await page.evaluate(`document.querySelector('video').currentTime > 1`))) {
        assert.equal(await page.title(), '', name);
        assert.ok(performance.now() < deadline, `${name}: it never played`);
        await page.waitForTimeout(50);
      }
      await page.evaluate(`document.querySelector('video').currentTime = 15`);
      while (!(await page.evaluate(`document.querySelector('video').currentTime > 15.2`))) {
        assert.ok(performance.now() < deadline, `${name}: it never played after the seek`);
        await page.waitForTimeout(50);
      }
    }
  });
});

const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
const lanAddress = addresses.find(({ internal, family }) => !internal && family === 'IPv4')?.address;

describe('the page in an open network', {
  skip: lanAddress === undefined && 'this machine has no network',
  timeout: 120_000,
}, () => {
  test('plays, although its context is not secure', async () => {
    const film = await numberedMedia({ container: 'mkv', video: 'h264', audio: ['aac'], seconds: 20 });
    await using server = await startServer({
      RAFFI_SERVER_ADDR: '0.0.0.0:0',
      RAFFI_LAN_ACCESS: 'open',
      RAFFI_MEDIA_ROOTS: dirname(film),
    });
    const url = server.url.replace('127.0.0.1', lanAddress as string);
    const browser = await launchBrowser();
    try {
      await using player = await PlayerPage.open(browser, { ...server, url });
      assert.equal(await player.page.evaluate('isSecureContext'), false);
      await player.enter(film);
      await player.playing();
      assert.deepEqual(player.troubles, []);
      const ids = ((await (await fetch(`${url}/sessions`)).json()) as { id: string }[]).length;
      assert.equal(ids, 1);
    } finally {
      await browser.close();
    }
  });
});
