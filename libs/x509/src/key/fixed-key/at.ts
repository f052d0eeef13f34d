/** The item of a place that there is. @throws RangeError for a fault of ours */
export function at<T>(items: readonly T[], place: number): T {
  const item = items[place];
  if (item === undefined) throw new RangeError(`there is no item ${place}`);
  return item;
}
