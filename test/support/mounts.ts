/** Small disks for tests. */
import { execFileSync } from 'node:child_process';

/** Whether this system lets a user mount a small disk of its own. */
export function canMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', '--map-root-user', 'sh', '-c', 'mount -t tmpfs none /mnt'], {
      stdio: 'ignore',
    });
    return true;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}
