import type { PipeTransform } from '@nestjs/common';
import { type ErrorCode, PkiError } from '@fleetroot/core';
import type { z } from 'zod';

/**
 * Checks a body or a query against a schema. The error names the fields at fault and what is wrong with them, never
 * what was in them.
 */
export class ZodPipe<S extends z.ZodType> implements PipeTransform<unknown, z.output<S>> {
  readonly #schema: S;
  readonly #code: Extract<ErrorCode, 'http.body-invalid' | 'http.query-invalid'>;

  constructor(schema: S, code: Extract<ErrorCode, 'http.body-invalid' | 'http.query-invalid'> = 'http.body-invalid') {
    this.#schema = schema;
    this.#code = code;
  }

  /** @throws PkiError of the pipe's code */
  transform(value: unknown): z.output<S> {
    const result = this.#schema.safeParse(value);
    if (result.success) return result.data;
    const first = result.error.issues[0];
    const field = first === undefined || first.path.length === 0 ? undefined : first.path.join('.');
    throw new PkiError(this.#code, describe(first, field), field === undefined ? {} : { data: { field } });
  }
}

function describe(issue: z.core.$ZodIssue | undefined, field: string | undefined): string {
  const where = field === undefined ? '' : `${field}: `;
  switch (issue?.code) {
    case undefined: return 'the value is not of the expected form';
    case 'unrecognized_keys': return `${where}${issue.keys.length} unknown field(s)`;
    case 'invalid_type': return `${where}${issue.expected} expected`;
    case 'invalid_value': return `${where}one of ${issue.values.map(String).join(', ')} expected`;
    case 'too_small': return `${where}too short or too small; at least ${issue.minimum}`;
    case 'too_big': return `${where}too long or too large; at most ${issue.maximum}`;
    case 'custom': return `${where}${issue.message}`;
    default: return `${where}not of the expected form`;
  }
}
