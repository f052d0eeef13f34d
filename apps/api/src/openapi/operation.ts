import { Limits } from '@fleetroot/http';
import type { z } from 'zod';

/** By media type: a schema, or text and octets as they are. */
export type Content = Readonly<Record<string, z.ZodType | 'text' | 'octets'>>;

/** What the OpenAPI document says of a route; its path, parameters, roles and errors are taken from the route itself. */
export interface Operation {
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly query?: z.ZodObject;
  readonly headers?: Readonly<Record<string, { readonly description: string; readonly required: boolean }>>;
  readonly body?: Content;
  readonly responses: Readonly<Record<number, { readonly description: string; readonly content?: Content; readonly headers?: Readonly<Record<string, string>> }>>;
}

export function Operation(operation: Operation): ReturnType<typeof Limits> {
  return Limits({ operation });
}
