const LATE = Symbol('late');

/**
 * What `work` gives, or `instead` where it fails or is not done `ms` after it began: who has waited longer for it waits no
 * more. `began` by performance.now().
 */
export async function within<T, I>(ms: number, work: Promise<T>, began: number, instead: () => I): Promise<T | I> {
  const left = began + ms - performance.now();
  if (left <= 0) {
    work.catch(() => undefined);
    return instead();
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(resolve, left, LATE);
  });
  try {
    const first = await Promise.race([work, late]);
    return first === LATE ? instead() : first;
  } catch {
    return instead();
  } finally {
    clearTimeout(timer);
  }
}
