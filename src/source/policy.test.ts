import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, open, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SourcePolicy, type SourcePolicyOptions } from './policy.ts';
import { parseSource } from './spec.ts';

const policy = (options: Partial<SourcePolicyOptions> = {}) =>
  new SourcePolicy({
    allowPrivate: undefined,
    mediaRoots: [],
    ownPort: () => 6969,
    ownNames: [{ host: 'tv.example' }],
    ...options,
  });

function verdict(source: string, loopback: boolean, options?: Partial<SourcePolicyOptions>): string {
  try {
    policy(options).accessOf({ loopback }).admit(parseSource(source));
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('what a client may open, by the words of its request', () => {
  const roots = { mediaRoots: ['/films'] };
  const named = { ownNames: [{ host: 'cast.example', port: 8443 }, { host: '2606:4700:0:0::5' }] };
  const cases: [source: string, here: string, elsewhere: string, options?: Partial<SourcePolicyOptions>][] = [
    ['/films/a.mkv', 'ok', 'source-not-allowed'],
    ['file:///films/a.mkv', 'ok', 'source-not-allowed'],
    ['file:/films/a.torrent', 'ok', 'source-not-allowed'],
    ['magnet:?xt=urn:btih:0123456789012345678901234567890123456789', 'ok', 'ok'],
    ['https://films.example/a.mkv', 'ok', 'ok'],
    ['http://192.168.1.9/a.mkv', 'ok', 'source-not-allowed'],
    ['http://192.168.1.9/a.mkv', 'ok', 'ok', { allowPrivate: true }],
    ['http://192.168.1.9/a.mkv', 'source-not-allowed', 'source-not-allowed', { allowPrivate: false }],
    ['http://169.254.169.254/', 'source-not-allowed', 'source-not-allowed', { allowPrivate: true }],
    ['http://127.0.0.1:6969/sessions', 'source-not-allowed', 'source-not-allowed', { allowPrivate: true }],
    ['http://tv.example:6969/sessions', 'source-not-allowed', 'source-not-allowed'],
    ['http://TV.example.:6969/sessions', 'source-not-allowed', 'source-not-allowed'],
    ['http://tv.example/sessions', 'source-not-allowed', 'source-not-allowed'],
    ['https://tv.example/sessions', 'source-not-allowed', 'source-not-allowed'],
    ['https://tv.example./sessions', 'source-not-allowed', 'source-not-allowed'],
    ['http://tv.example:8080/a.mkv', 'ok', 'ok'],
    ['https://cast.example:8443/sessions', 'source-not-allowed', 'source-not-allowed', named],
    ['https://cast.example/a.mkv', 'ok', 'ok', named],
    ['http://[2606:4700:0::5]/sessions', 'source-not-allowed', 'source-not-allowed', named],
    ['http://[2606:4700::5]:6969/sessions', 'source-not-allowed', 'source-not-allowed', named],
    ['http://tv.example:6969/a.mkv', 'ok', 'ok', named],
    ['/films/a.mkv', 'ok', 'ok', roots],
    ['/films/../films/a.mkv', 'ok', 'ok', roots],
    ['/films/../etc/passwd', 'source-not-allowed', 'source-not-allowed', roots],
    ['/films', 'source-not-allowed', 'source-not-allowed', roots],
    ['/filmsx/a.mkv', 'source-not-allowed', 'source-not-allowed', roots],
    ['/etc/passwd', 'source-not-allowed', 'source-not-allowed', roots],
    ['/etc/x.torrent', 'source-not-allowed', 'source-not-allowed', roots],
    ['/films/..a.mkv', 'ok', 'ok', roots],
  ];
  for (const [source, here, elsewhere, options] of cases) {
    const words = `${source} ${JSON.stringify(options)}`;
    assert.equal(verdict(source, true, options), here, `${words} from here`);
    assert.equal(verdict(source, false, options), elsewhere, `${words} from elsewhere`);
  }
});

test('no link leads out of the folders, and the folders themselves may be links', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'raffi-roots-'));
  const [films, other, linked] = ['films', 'other', 'linked'].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [films, other]) await mkdir(path);
  for (const path of [join(films, 'a.mkv'), join(other, 'secret')]) await writeFile(path, 'x');
  await symlink(films, linked);
  await symlink(join(other, 'secret'), join(films, 'file.mkv'));
  await symlink(other, join(films, 'folder'));
  await symlink(join(films, 'a.mkv'), join(films, 'inside.mkv'));
  for (const root of [films, linked]) {
    const access = policy({ mediaRoots: [root] }).accessOf({ loopback: false });
    assert.equal(await access.pathOf(join(root, 'a.mkv')), join(films, 'a.mkv'));
    assert.equal(await access.pathOf(join(root, 'inside.mkv')), join(films, 'a.mkv'));
    for (const name of ['file.mkv', 'folder/secret', '../other/secret', 'folder/../other/secret']) {
      await assert.rejects(access.pathOf(`${root}/${name}`), { code: 'source-forbidden' }, name);
    }
    const missing = join(root, 'missing.mkv');
    assert.equal(await access.pathOf(missing), missing, 'for the opening to tell');
  }
});

test('what the kernel makes up is no file', { skip: process.platform !== 'linux' && 'there is no /proc' }, async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'raffi-roots-'));
  const link = join(folder.path, 'a.mkv');
  await symlink('/proc/self/environ', link);
  const access = policy().accessOf({ loopback: true });
  for (const path of [
    '/proc/self/environ',
    '/proc/self/cmdline',
    '/sys/kernel/notes',
    '/proc/self/task/../environ',
    link,
  ]) {
    await assert.rejects(access.pathOf(path), { code: 'source-not-regular' }, path);
  }
  assert.equal(await access.pathOf('/films/a.mkv'), '/films/a.mkv');
});

test('open files of ours are no files, unlinked or not, whatever link leads to them', {
  skip: process.platform !== 'linux' && 'there is no /proc',
}, async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'raffi-roots-'));
  const kept = join(folder.path, 'kept');
  await writeFile(kept, 'x');
  await using keptFile = await open(kept);
  const gone = join(folder.path, 'gone');
  await writeFile(gone, 'secret');
  await using goneFile = await open(gone);
  await unlink(gone);
  // So that even the name that Linux shows for it is that of a file.
  await writeFile(`${gone} (deleted)`, 'harmless');
  const links = [keptFile.fd, goneFile.fd].flatMap((fd) => {
    const own = [`/proc/self/fd/${fd}`, `/proc/${process.pid}/fd/${fd}`, `/dev/fd/${fd}`, `/proc/thread-self/fd/${fd}`];
    return [...own, `/dev/../dev/fd/${fd}`, `/proc/self/task/../fd/${fd}`, `/proc/self/root${kept}`];
  });
  for (const [n, target] of [...links, 'link-0', '/dev/fd', `${folder.path}/folder/${goneFile.fd}`].entries())
    await symlink(target, join(folder.path, target === '/dev/fd' ? 'folder' : `link-${n}`));
  const linked = [...links.keys(), links.length, links.length + 2].map((n) => join(folder.path, `link-${n}`));
  const inFolder = join(folder.path, 'folder', String(goneFile.fd));
  for (const mediaRoots of [[], [folder.path], ['/']]) {
    const access = policy({ mediaRoots }).accessOf({ loopback: true });
    for (const path of [...links, ...linked, inFolder])
      await assert.rejects(access.pathOf(path), { code: 'source-not-regular' }, `${path} ${mediaRoots}`);
    assert.equal(await access.pathOf(kept), kept);
  }
  await symlink('loop', join(folder.path, 'loop'));
  const loop = join(folder.path, 'loop');
  assert.equal(await policy().accessOf({ loopback: true }).pathOf(loop), loop, 'for the opening to tell');
});

test('how near links lead, and where this server answers', () => {
  for (const [allowPrivate, from] of [
    [undefined, 'public'],
    [false, 'public'],
    [true, 'loopback'],
  ] as const)
    assert.equal(policy({ allowPrivate }).linksFrom, from);
  const ownNames = [{ host: 'tv.example' }, { host: '8.8.4.4', port: 8443 }, { host: '2606:4700::5' }];
  assert.deepEqual(policy({ ownNames }).ownPlaces, {
    port: 6969,
    places: [{ host: '8.8.4.4', port: 8443 }, ...[6969, 80, 443].map((port) => ({ host: '2606:4700::5', port }))],
  });
});
