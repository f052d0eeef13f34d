const DAY_MS = 86_400_000;

/** The last second of so many years or days, itself valid (RFC 5280 section 4.1.2.5), and never after the issuer's. */
export function lastSecond(notBefore: Date, term: { readonly years: number } | { readonly days: number }, atMost: Date | undefined): Date {
  const end = new Date(notBefore);
  if ('years' in term) end.setUTCFullYear(end.getUTCFullYear() + term.years);
  else end.setTime(end.getTime() + term.days * DAY_MS);
  end.setTime(end.getTime() - 1000);
  return atMost !== undefined && atMost < end ? atMost : end;
}

export const daysMs = (days: number): number => days * DAY_MS;
