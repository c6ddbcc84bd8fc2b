/** The commands of `vecsnap`, in the order of help. The code of each is loaded when it is asked for. */
import type { ListedCommand } from './command.js';

export const COMMANDS: readonly ListedCommand[] = [
  {
    signature: 'init <REPO>',
    summary: 'make a new, empty repository',
    load: async () => (await import('./commands/init.js')).init,
  },
  {
    signature: 'create <REPO> <SOURCE>',
    summary: 'take a snapshot of a source',
    load: async () => (await import('./commands/create.js')).create,
  },
  {
    signature: 'list <REPO>',
    summary: 'list the snapshots',
    load: async () => (await import('./commands/list.js')).list,
  },
  {
    signature: 'show <REPO> <SNAP>',
    summary: 'tell everything about one snapshot',
    load: async () => (await import('./commands/show.js')).show,
  },
  {
    signature: 'restore <REPO> <SNAP> <TARGET>',
    summary: 'write a snapshot into a target',
    load: async () => (await import('./commands/restore.js')).restore,
  },
  {
    signature: 'verify <REPO> [SNAP...]',
    summary: 'read everything and report all damage',
    load: async () => (await import('./commands/verify.js')).verify,
  },
  {
    signature: 'diff <REPO> <A> <B>',
    summary: 'tell what differs between two snapshots',
    load: async () => (await import('./commands/diff.js')).diff,
  },
  {
    signature: 'forget <REPO> [SNAP...]',
    summary: 'drop snapshots, by name or by rule',
    load: async () => (await import('./commands/forget.js')).forget,
  },
  {
    signature: 'unforget <REPO> [SNAP...]',
    summary: 'have dropped snapshots back, until the next gc',
    load: async () => (await import('./commands/unforget.js')).unforget,
  },
  {
    signature: 'policy <ACTION> <REPO>',
    summary: 'set, show or remove the rules that forget goes by',
    load: async () => (await import('./commands/policy.js')).policy,
  },
  {
    signature: 'tag <REPO> <SNAP>',
    summary: 'add and remove tags of a snapshot',
    load: async () => (await import('./commands/tag.js')).tag,
  },
  {
    signature: 'pin <REPO> <SNAP...>',
    summary: 'keep snapshots whatever the rules say',
    load: async () => (await import('./commands/pin.js')).pin,
  },
  {
    signature: 'unpin <REPO> <SNAP...>',
    summary: 'the opposite of pin',
    load: async () => (await import('./commands/pin.js')).unpin,
  },
  {
    signature: 'gc <REPO>',
    summary: 'give back the space of what no snapshot needs',
    load: async () => (await import('./commands/gc.js')).gc,
  },
  {
    signature: 'schedule <CONFIG>',
    summary: 'take snapshots at set times, forget, sweep and verify',
    load: async () => (await import('./commands/schedule.js')).schedule,
  },
  {
    signature: 'stats <REPO>',
    summary: 'tell what is shared, exclusive and reclaimable',
    load: async () => (await import('./commands/stats.js')).stats,
  },
  {
    signature: 'export <REPO> <SNAP> <DIR>',
    summary: 'write a snapshot into a folder that stands on its own',
    load: async () => (await import('./commands/export.js')).exportCommand,
  },
  {
    signature: 'import <REPO> <DIR>',
    summary: 'take in a folder that export wrote',
    load: async () => (await import('./commands/import.js')).importCommand,
  },
  {
    signature: 'unlock <REPO>',
    summary: 'remove the locks of writers that are dead',
    load: async () => (await import('./commands/unlock.js')).unlock,
  },
  {
    signature: 'repair <REPO>',
    summary: 'get back what can be had of a damaged repository',
    load: async () => (await import('./commands/repair.js')).repair,
  },
];

/** The name of a command. */
export function nameOf({ signature }: ListedCommand): string {
  return signature.slice(0, signature.indexOf(' '));
}
