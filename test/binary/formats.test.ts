/** What is done to the files of executables before they are given away. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { archive } from '../../scripts/binaries/archive.mjs';
import * as elf from '../../scripts/binaries/elf.mjs';
import { unsigned } from '../../scripts/binaries/pe.mjs';
import { signed, verifySignature } from '../../scripts/binaries/signature.mjs';

test('an ELF file without its symbols is smaller, and runs', {
  skip: process.platform !== 'linux' && 'this Node is no ELF file',
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'raffi-elf-'));
  try {
    const original = readFileSync(process.execPath);
    const path = join(folder, 'node');
    const bytes = elf.stripped(original);
    assert.ok(bytes.length < original.length - 1_000_000, `${bytes.length} of ${original.length} bytes`);
    writeFileSync(path, bytes, { mode: 0o755 });
    assert.equal(
      execFileSync(path, ['-p', '[6 * 7, typeof require("node:tls").connect].join()']).toString(),
      '42,function\n',
    );
    assert.throws(() => elf.stripped(Buffer.alloc(100)), /no ELF file/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** The least that can be signed: two segments, and room for one more load command. */
function machO(): Buffer {
  const file = Buffer.alloc(3 * 4096 + 100, 7);
  file.fill(0, 0, 1024);
  for (const [n, value] of [0xfeedfacf, 0x0100000c, 0, 2, 2, 144].entries()) file.writeUInt32LE(value, n * 4);
  const segments = [
    { name: '__TEXT', start: 0, size: 4096 },
    { name: '__LINKEDIT', start: 4096, size: file.length - 4096 },
  ];
  for (const [n, { name, start, size }] of segments.entries()) {
    const at = 32 + 72 * n;
    file.writeUInt32LE(0x19, at);
    file.writeUInt32LE(72, at + 4);
    file.write(name, at + 8);
    file.writeBigUInt64LE(BigInt(start), at + 40);
    file.writeBigUInt64LE(BigInt(size), at + 48);
  }
  return file;
}

test('a signed Mach-O file is one of which every page is as it was signed', () => {
  const file = signed(machO(), 'raffi-server');
  assert.deepEqual(verifySignature(file), { identifier: 'raffi-server', pages: 4 });
  for (const at of [0x200, 5_000, 3 * 4096 + 50]) {
    const changed = Buffer.from(file);
    changed[at] = (changed[at] as number) ^ 1;
    assert.throws(() => verifySignature(changed), /Page \d is not the one that was signed/, `byte ${at}`);
  }
  assert.throws(() => verifySignature(Buffer.concat([file, Buffer.alloc(1)])), /not at the end/);
  assert.throws(() => verifySignature(machO()), /no load command/);
  assert.throws(() => signed(file, 'again'), /a signature already/);
  const linkeditEnd = Number(file.readBigUInt64LE(32 + 72 + 40) + file.readBigUInt64LE(32 + 72 + 48));
  assert.equal(linkeditEnd, file.length);
});

test('a PE file loses its signature, and says that it has none', () => {
  const header = 0x80;
  const directory = header + 24 + 112 + 4 * 8;
  const file = Buffer.alloc(1024 + 64, 5);
  file.fill(0, 0, 1024);
  file.write('MZ');
  file.writeUInt32LE(header, 0x3c);
  file.write('PE', header);
  file.writeUInt16LE(0x20b, header + 24);
  file.writeUInt32LE(1024, directory);
  file.writeUInt32LE(64, directory + 4);
  const result = unsigned(file);
  assert.equal(result.length, 1024);
  assert.equal(result.readBigUInt64LE(directory), 0n);
  assert.ok(unsigned(result).equals(result));
  assert.throws(() => unsigned(Buffer.from('MZ'.padEnd(200, '\0'))), /no PE file/);
});

test('what is released can be checked by the sums beside it, and after unpacking', {
  skip: process.platform !== 'linux' && 'asks sha256sum',
}, async () => {
  const home = mkdtempSync(join(tmpdir(), 'raffi-sums-'));
  try {
    const [made, downloads] = [join(home, 'dist'), join(home, 'downloads')];
    for (const folder of [made, downloads]) mkdirSync(folder);
    const names = ['decoder-one', 'decoder-two.exe'];
    for (const name of names) writeFileSync(join(made, name), `the bytes of ${name}`, { mode: 0o755 });
    await archive(made, names);
    const workflow = readFileSync(join(import.meta.dirname, '../../.github/workflows/release.yml'), 'utf8');
    const [upload = ''] = /gh release create .*/.exec(workflow) ?? [];
    for (const path of globSync(upload.match(/\bdist\/\S+/g) ?? [], { cwd: home }))
      copyFileSync(join(home, path), join(downloads, basename(path)));
    const check = (sums: string): string =>
      execFileSync('sha256sum', ['--check', '--strict', sums], { cwd: downloads, encoding: 'utf8', stdio: 'pipe' });
    assert.equal(check('SHA256SUMS'), names.map((name) => `${name}.tar.xz: OK\n`).join(''));
    for (const name of names) execFileSync('tar', ['-xJf', `${name}.tar.xz`], { cwd: downloads });
    assert.equal(check('SHA256SUMS.executables'), names.map((name) => `${name}: OK\n`).join(''));
  } finally {
    rmSync(home, { recursive: true });
  }
});
