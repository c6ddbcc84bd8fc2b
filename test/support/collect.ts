/** Everything that an iterable gives, as an array. (Array.fromAsync came with Node.js 22.) */
export async function collect<T>(items: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The same of what gives some at a time. */
export async function collectAll<T>(some: AsyncIterable<readonly T[]>): Promise<T[]> {
  return (await collect(some)).flat();
}
