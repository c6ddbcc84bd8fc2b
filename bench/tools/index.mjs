// The tools that are measured side by side.
import { borg } from './borg.mjs';
import { bup } from './bup.mjs';
import { casync } from './casync.mjs';
import { restic } from './restic.mjs';

export { vecsnap } from './vecsnap.mjs';

/** vecsnap's peers, by the names of their programs. */
export const PEERS = { restic, borg, casync, bup };

/** The Debian packages that bring the peers, and GNU time. */
export const PEER_PACKAGES = ['restic', 'borgbackup', 'casync', 'bup', 'time'];
