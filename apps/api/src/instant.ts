import { z } from 'zod';

const FROM = Date.UTC(1970, 0, 1);
const UNTIL = Date.UTC(10_000, 0, 1);

/**
 * A moment as RFC 3339 writes it, in the years 1970 to 9999 of UTC: an offset takes a four-digit year out of what DER can
 * say (RFC 5280 section 4.1.2.5), and one such entry would keep its CA from ever publishing a CRL again.
 */
export const instant = z.iso.datetime({ offset: true }).refine((text) => {
  const time = Date.parse(text);
  return time >= FROM && time < UNTIL;
}, { error: 'a time in the years 1970 to 9999 expected' });
