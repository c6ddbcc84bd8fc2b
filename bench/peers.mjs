// Finds the peers on this machine, and installs those that are missing where that can be done without asking anybody.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { PEER_PACKAGES, PEERS } from './tools/index.mjs';

/**
 * @typedef {object} FoundPeers
 * @property {import('./tools/tool.mjs').Tool[]} tools
 * @property {{ tool: string, reason: string }[]} missing
 */

/**
 * @param {{ wanted: readonly string[], install: boolean, say: (line: string) => void }} options
 * @returns {FoundPeers}
 */
export function findPeers({ wanted, install, say }) {
  const isComplete = wanted.every(isOnPath) && existsSync('/usr/bin/time');
  const reason = install && !isComplete ? tryInstall(say) : 'it is not installed';
  const entries = Object.entries(PEERS).filter(([name]) => wanted.includes(name));
  return {
    tools: entries.filter(([name]) => isOnPath(name)).map(([, make]) => make()),
    missing: entries.filter(([name]) => !isOnPath(name)).map(([tool]) => ({ tool, reason })),
  };
}

/** @param {string} program */
function isOnPath(program) {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}

/**
 * @param {(line: string) => void} say
 * @returns {string} why a peer is still missing, for those that are
 */
function tryInstall(say) {
  const byHand = `install it by hand: apt-get install ${PEER_PACKAGES.join(' ')}`;
  if (!isOnPath('apt-get')) return `there is no apt-get here; ${byHand}`;
  if (process.getuid?.() !== 0) return `only root can install it; ${byHand}`;
  say(`installing the peers: apt-get install ${PEER_PACKAGES.join(' ')}`);
  const update = aptGet('update');
  const failed = aptGet('install', '-y', '--no-install-recommends', ...PEER_PACKAGES) ?? update;
  return failed ?? 'its package has no such program';
}

/**
 * @param {readonly string[]} args
 * @returns {string | undefined} why it failed, if it did
 */
function aptGet(...args) {
  const { status, error, stderr } = spawnSync('apt-get', ['-q', ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (status === 0) return undefined;
  return `apt-get ${args[0]} failed: ${error?.message ?? stderr.trim().split('\n').at(-1)}`;
}
