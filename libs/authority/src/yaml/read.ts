import { type ErrorCode, PkiError } from '@fleetroot/core';
import { type Document, isMap, isNode, isPair, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { z } from 'zod';

/** Maps, lists and pairs that may stand around a value. */
const MAX_PATH = 60;

/** Indicators of nesting, one after the other: no file of ours has more than two. */
const CHAIN = /(?:[?:-][ \t]+){32}/;

export interface YamlFault {
  readonly path: readonly PropertyKey[];
  /** What is wrong and what to do about it. */
  readonly what: string;
}

export interface YamlFile<T> {
  readonly value: T;
  /** Throws the faults, each with its line, where there are any. */
  refuseIf(faults: readonly YamlFault[]): void;
}

/**
 * Reads a YAML file by a schema.
 * @throws PkiError `code` that names file, line and remedy of every fault, one a line; `data.file` and `data.line` are
 *   the first's
 */
export function readYaml<T>(text: string, fileName: string, schema: z.ZodType<T>, code: ErrorCode): YamlFile<T> {
  const lines = new LineCounter();
  const lineAt = (offset: number): number => lines.linePos(offset).line;
  const refuse = (faults: readonly { line: number; what: string }[]): never => {
    const sorted = [...faults].sort((a, b) => a.line - b.line);
    throw new PkiError(code, sorted.map(({ line, what }) => `${fileName}:${line}: ${what}`).join('\n'), {
      data: { file: fileName, line: sorted[0]?.line ?? 1, faults: sorted.length },
    });
  };
  const orRefuse = <R>(read: () => R): R => {
    try {
      return read();
    } catch (error) {
      // The library throws a RangeError for what is nested too deeply, a ReferenceError for an alias without its anchor.
      return refuse([{ line: 1, what: `not YAML that can be read: ${error instanceof Error ? error.message : 'unknown'}` }]);
    }
  };
  // Its parser takes minutes, if it ends at all, over keys within keys within keys on one line.
  const chain = CHAIN.exec(text);
  if (chain !== null) refuse([{ line: text.slice(0, chain.index).split('\n').length, what: 'nested too deeply' }]);
  const document = orRefuse(() => parseDocument(text, { lineCounter: lines, prettyErrors: false }));
  const located = (faults: readonly YamlFault[]) => faults.map(({ path, what }) => (
    { line: lineAt(offsetOf(document, path)), what: path.length === 0 ? what : `${path.map(String).join('.')}: ${what}` }
  ));
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) refuse(broken.map((error) => ({ line: lineAt(error.pos[0]), what: `not valid YAML: ${error.message}` })));
  // Before toJS, which would follow any depth, and write keys within keys out as text, in time that doubles with each.
  const odd = oddity(document);
  if (odd !== undefined) refuse([{ line: lineAt(odd.offset), what: odd.what }]);
  const parsed = schema.safeParse(orRefuse(() => document.toJS()));
  if (!parsed.success) return refuse(located(parsed.error.issues.flatMap(describe)));
  return {
    value: parsed.data,
    refuseIf: (faults) => {
      if (faults.length > 0) refuse(located(faults));
    },
  };
}

const isPlain = (key: unknown): boolean => isScalar(key) && (typeof key.value !== 'object' || key.value === null);

/** The first thing that YAML knows and our files do not need; undefined where there is none. */
function oddity(document: Document): { offset: number; what: string } | undefined {
  let found: { offset: number; what: string } | undefined;
  visit(document, (_, node, path) => {
    const offset = (isPair(node) && isNode(node.key) ? node.key.range?.[0] : isNode(node) ? node.range?.[0] : undefined) ?? 0;
    if (path.length > MAX_PATH) found = { offset, what: 'nested too deeply' };
    else if (isPair(node) && isNode(node.key) && !isPlain(node.key)) {
      found = { offset, what: 'a key must be a plain word, not a list or a mapping' };
    }
    return found === undefined ? undefined : visit.BREAK;
  });
  return found;
}

function describe(issue: z.core.$ZodIssue): YamlFault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key], what: 'is not a field here: remove it, or correct its spelling' }));
  }
  const missing = issue.code === 'invalid_type' && issue.input === undefined && issue.message.startsWith('Invalid input');
  return [{ path: issue.path, what: missing ? 'is missing: add it' : issue.message }];
}

/** Where the field of a path stands, its key if it has one; where it is absent, what encloses it. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const key = path[depth - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === key);
      if (pair !== undefined && isScalar(pair.key)) return pair.key.range?.[0] ?? 0;
    }
    const node = document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}
