import { type ErrorCode, PkiError } from '@fleetroot/core';
import { type Document, isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';

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
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineAt = (offset: number): number => lines.linePos(offset).line;
  const refuse = (faults: readonly { line: number; what: string }[]): never => {
    const sorted = [...faults].sort((a, b) => a.line - b.line);
    throw new PkiError(code, sorted.map(({ line, what }) => `${fileName}:${line}: ${what}`).join('\n'), {
      data: { file: fileName, line: sorted[0]?.line ?? 1, faults: sorted.length },
    });
  };
  const located = (faults: readonly YamlFault[]) => faults.map(({ path, what }) => (
    { line: lineAt(offsetOf(document, path)), what: path.length === 0 ? what : `${path.map(String).join('.')}: ${what}` }
  ));
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) refuse(broken.map((error) => ({ line: lineAt(error.pos[0]), what: `not valid YAML: ${error.message}` })));
  const parsed = schema.safeParse(document.toJS());
  if (!parsed.success) return refuse(located(parsed.error.issues.flatMap(describe)));
  return {
    value: parsed.data,
    refuseIf: (faults) => {
      if (faults.length > 0) refuse(located(faults));
    },
  };
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
