/**
 * The item of a list at an index where there is one.
 * @throws Error when there is none, so that a test says which index it was.
 */
export function itemAt<T>(list: ArrayLike<T>, index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`there is no item ${index} among ${list.length}`);
  return item;
}
