/** The routes of an app, to tell a wrong method (405, with Allow) from a wrong path (404). */
export class RouteTable {
  readonly #routes: { readonly segments: readonly string[]; readonly methods: readonly string[] }[] = [];

  add(url: string, methods: string | readonly string[]): void {
    this.#routes.push({ segments: url.split('/'), methods: typeof methods === 'string' ? [methods] : methods });
  }

  /** Methods that `path` (without a query) has, sorted. */
  methods(path: string): string[] {
    const segments = path.split('/');
    const found = new Set<string>();
    for (const route of this.#routes) {
      if (matches(route.segments, segments)) for (const method of route.methods) found.add(method);
    }
    return [...found].sort();
  }
}

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  for (let place = 0; place < pattern.length; place++) {
    const part = pattern[place] ?? '';
    if (part.startsWith('*')) return path.length > place;
    const given = path[place];
    if (given === undefined) return false;
    if (part.startsWith(':') ? given === '' : part !== given) return false;
  }
  return pattern.length === path.length;
}
