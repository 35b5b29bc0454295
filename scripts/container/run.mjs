/**
 * Runs a tree as a container engine runs an image: its own network, processes and mounts; a read-only root with /tmp and the volumes; the image's user
 * without any capability. Started by scripts/prove-container.mjs in namespaces of its own, which take everything down with it.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @type {{ tree: string, folder: string, variables: Record<string, string>, user: string, volumes: string[], entrypoint: string[], healthcheck: string[] }} */
const image = JSON.parse(process.argv[2] ?? '');
const { tree, user } = image;
const [uid = '', gid = ''] = user.split(':');
assert.ok(Number(uid) > 0 && Number(gid) > 0, 'the image has a user with numbers');

/** @param {string} command @param {...string} args */
const sh = (command, ...args) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const at = (/** @type {string} */ path) => join(tree, path);
const say = (/** @type {string} */ fact) => console.log(`ok: ${fact}`);

/** The command that runs others in the container, as its user. */
const INSIDE = [
  ...['chroot', tree, 'setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--no-new-privs'],
  ...['--bounding-set=-all', '--inh-caps=-all', 'env', '-i'],
  ...Object.entries(image.variables).map(([name, value]) => `${name}=${value}`),
  ...['sh', '-c', 'cd "$0" && exec "$@"', image.folder],
];
const inside = (/** @type {string[]} */ ...command) =>
  spawnSync(INSIDE[0] ?? '', [...INSIDE.slice(1), ...command], { encoding: 'utf8' });

/** @param {string} storage */
function mountAll(storage) {
  sh('mount', '--make-rprivate', '/');
  sh('ip', 'link', 'set', 'lo', 'up');
  sh('mount', '--bind', tree, tree);
  sh('mount', '-t', 'proc', 'proc', at('proc'));
  sh('mount', '--rbind', '/dev', at('dev'));
  sh('mount', '-t', 'tmpfs', '-o', 'size=2g,mode=1777', 'tmpfs', at('tmp'));
  for (const volume of [...image.volumes, '/media']) {
    const folder = join(storage, volume);
    const { uid: owner, gid: group } = statSync(at(volume)); // a new volume gets those of the image's folder
    mkdirSync(folder, { recursive: true });
    chownSync(folder, owner, group);
    sh('mount', '--bind', folder, at(volume));
  }
  const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=25', '-f', 'lavfi', '-i', 'sine=440'];
  const codecs = [
    '-t',
    '12',
    '-c:v',
    'libx264',
    '-preset',
    'ultrafast',
    '-g',
    '50',
    '-pix_fmt',
    'yuv420p',
    '-c:a',
    'aac',
  ];
  sh('chroot', tree, 'ffmpeg', '-loglevel', 'error', ...picture, ...codecs, '/media/film.mkv');
  sh('mount', '-o', 'remount,bind,ro', at('media'));
  sh('mount', '-o', 'remount,bind,ro', tree);
}

/** @param {string} url @param {RequestInit} [init] */
async function bytes(url, init) {
  const response = await fetch(url, init);
  const body = Buffer.from(await response.arrayBuffer());
  assert.ok(response.ok, `${url}: ${response.status} ${body.toString('utf8', 0, 300)}`);
  return body;
}

/** @param {unknown} body @returns {RequestInit} */
const post = (body) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

/** @param {string} base */
async function use(base) {
  const { id } = JSON.parse(String(await bytes(`${base}/sessions`, post({ source: '/media/film.mkv' }))));
  const session = `${base}/sessions/${id}`;
  for (const rendition of ['original', '480p']) {
    assert.match(String(await bytes(`${session}/${rendition}/playlist.m3u8`)), /#EXT-X-ENDLIST/);
    assert.ok((await bytes(`${session}/${rendition}/0.m4s`)).includes('moof'));
  }
  say('a film plays, copied and transcoded');
  const { outputPath } = JSON.parse(String(await bytes(`${session}/clip`, post({ start: 1, end: 5 }))));
  assert.match(outputPath, /^\/clips\//);
  assert.equal(statSync(at(outputPath)).uid, Number(uid));
  say(`a clip is in its volume: ${outputPath}`);
  const torrent = await bytes(`${base}/sessions`, post({ source: '0123456789abcdef0123456789abcdef01234567' }));
  assert.match(String(torrent), /"status":"metadata"|"status":"created"/);
  const refused = await fetch(`${base}/sessions`, post({ source: '/etc/passwd' }));
  const { id: other } = /** @type {{ id?: string }} */ (await refused.json());
  const answer = other === undefined ? refused : await fetch(`${base}/sessions/${other}/file`);
  assert.ok(answer.status >= 400, 'files outside /media are refused');
  say('files outside /media are refused');
}

/** What surrounds the server: its user, its rights, what it may write to. @param {number} pid */
function examine(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'));
  assert.match(status, /^NSpid:.*\t1$/m);
  for (const set of ['Inh', 'Prm', 'Eff', 'Bnd']) assert.match(status, new RegExp(`^Cap${set}:\\t0+$`, 'm'));
  say(`process 1 is user ${uid} without capabilities, ${/^VmRSS:\s*(.*)$/m.exec(status)?.[1]} of memory`);
  for (const path of ['/app', '/media', '/etc'])
    assert.match(inside('touch', `${path}/x`).stderr, /Read-only file system/);
  for (const path of [...image.volumes, '/tmp']) assert.equal(inside('touch', `${path}/x`).stderr, '');
  say(`writable: /tmp ${image.volumes.join(' ')}; read-only: the rest`);
  assert.equal(inside(...image.healthcheck).status, 0);
  say('the health check says healthy');
}

async function main() {
  const storage = mkdtempSync(join(tmpdir(), 'raffi-volumes-'));
  sh('chmod', '755', storage);
  mountAll(storage);
  const began = performance.now();
  const engine = ['--mount', '--pid', '--fork', '--kill-child', `--mount-proc=${at('proc')}`];
  const server = spawn('unshare', [...engine, ...INSIDE, ...image.entrypoint], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  server.stderr.setEncoding('utf8').on('data', (text) => {
    log += text;
  });
  const exited = once(server, 'exit');
  try {
    const [line] = await Promise.race([once(server.stdout.setEncoding('utf8'), 'data'), exited]);
    const [, port = ''] = /^Server listening on http:\/\/\S*:(\d+)\n/.exec(String(line)) ?? [];
    assert.ok(port, `it does not listen: ${line} ${log}`);
    say(`it listens after ${Math.round(performance.now() - began)} ms`);
    const pid = Number(readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8'));
    examine(pid);
    await use(`http://127.0.0.1:${port}`);
    const stopping = performance.now();
    process.kill(pid, 'SIGTERM');
    assert.deepEqual(await exited, [0, null]);
    say(`SIGTERM ends it with status 0 after ${Math.round(performance.now() - stopping)} ms`);
    assert.equal(inside(...image.healthcheck).status, 1);
    say('the health check says unhealthy');
    const left = readdirSync(at('tmp')).filter((name) => name !== 'x');
    assert.deepEqual(left, [], 'nothing is left in /tmp');
    for (const text of log.split('\n').filter((entry) => /"level":[456]0/.test(entry))) console.log(`log: ${text}`);
  } catch (error) {
    console.error(log);
    throw error;
  } finally {
    server.kill('SIGKILL');
    for (const mount of [...image.volumes, '/media', '/tmp', '/proc']) spawnSync('umount', ['--lazy', at(mount)]);
    spawnSync('umount', ['--lazy', '--recursive', tree]);
    rmSync(storage, { recursive: true, force: true });
  }
}

await main();
