const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

/** 1 to 64 lower-case letters, digits, inner ".", "_" and "-": it stands in audit events and logs. */
export function isPrincipalName(text: string): boolean {
  return NAME.test(text);
}
