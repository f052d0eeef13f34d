import { PkiError } from '@fleetroot/core';

/**
 * Picks what the client likes best of `offers` by its Accept header (RFC 9110, content negotiation); the earlier offer
 * where it likes several alike, the first where it says nothing.
 * @throws PkiError `http.not-acceptable`
 */
export function acceptable<T extends string>(accept: string | undefined, offers: readonly [T, ...T[]]): T {
  if (accept === undefined || accept.trim() === '') return offers[0];
  const ranges = accept.split(',').map(parseRange);
  let best: T | undefined;
  let bestQuality = 0;
  for (const offer of offers) {
    const quality = qualityOf(offer, ranges);
    if (quality > bestQuality) [best, bestQuality] = [offer, quality];
  }
  if (best === undefined) throw new PkiError('http.not-acceptable', `${offers.join(', ')} can be had here`);
  return best;
}

interface Range {
  readonly type: string;
  readonly quality: number;
}

function parseRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const given = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
  const quality = given === undefined ? 1 : Number(given);
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

/** By the most specific range that fits. */
function qualityOf(offer: string, ranges: readonly Range[]): number {
  const [major = ''] = offer.split('/');
  for (const wanted of [offer, `${major}/*`, '*/*']) {
    const range = ranges.find(({ type }) => type === wanted);
    if (range !== undefined) return range.quality;
  }
  return 0;
}
