import { hash } from 'node:crypto';
import { equalBytes, toHex } from '@fleetroot/core';
import type { ClientReason } from '@fleetroot/trust';
import { percentDecoded, readPem, readPems } from './certificate-text.ts';

/** Hops between a client and us. */
const MOST_ELEMENTS = 16;
const MOST_PAIRS = 64;
const MOST_IN_CHAIN = 10;
const KEY = /^[A-Za-z][A-Za-z0-9-]{0,31}$/;

interface Pair {
  /** In lower case. */
  readonly key: string;
  readonly value: string;
}

/**
 * The elements of an `x-forwarded-client-cert`, one a hop: separated by commas, each of KEY=VALUE pairs separated by
 * semicolons; a value with one of these or an equals sign is quoted, and a quote or backslash in it has a backslash before it.
 * @returns undefined where it is not of that form
 */
export function parseXfcc(text: string): readonly (readonly Pair[])[] | undefined {
  const elements: Pair[][] = [[]];
  let at = 0;
  for (let pairs = 1; pairs <= MOST_PAIRS; pairs++) {
    const equals = text.indexOf('=', at);
    const key = equals === -1 ? '' : text.slice(at, equals).trim();
    if (!KEY.test(key)) return undefined;
    const value = readValue(text, equals + 1);
    if (value === undefined) return undefined;
    elements[elements.length - 1]?.push({ key: key.toLowerCase(), value: value.text });
    if (value.end === text.length) return elements;
    if (text[value.end] === ',' && elements.push([]) > MOST_ELEMENTS) return undefined;
    at = value.end + 1;
  }
  return undefined;
}

/** The value that begins there, and where the separator after it stands. */
function readValue(text: string, start: number): { readonly text: string; readonly end: number } | undefined {
  if (text[start] !== '"') {
    let end = start;
    while (end < text.length && text[end] !== ',' && text[end] !== ';') {
      if (text[end] === '"' || text[end] === '=') return undefined;
      end++;
    }
    return { text: text.slice(start, end).trim(), end };
  }
  let value = '';
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at] ?? '';
    if (character === '"') {
      let end = at + 1;
      while (text[end] === ' ' || text[end] === '\t') end++;
      return end === text.length || text[end] === ',' || text[end] === ';' ? { text: value, end } : undefined;
    }
    value += character === '\\' ? text[++at] ?? '' : character;
  }
  return undefined;
}

/** The client's certificate where the header has one element: that of the proxy that sends it. */
export function readXfcc(text: string): Uint8Array | ClientReason {
  const elements = parseXfcc(text);
  if (elements === undefined) return 'header.malformed';
  const [only = []] = elements;
  return elements.length === 1 ? certificateOf(only) : 'header.ambiguous';
}

/** As `readXfcc`, of the last element: that of the proxy that sends it; those before are what others have said. */
export function readLastXfcc(text: string): Uint8Array | ClientReason {
  const elements = parseXfcc(text);
  return elements === undefined ? 'header.malformed' : certificateOf(elements.at(-1) ?? []);
}

/** What an element says more than once, or in two ways, must agree. */
function certificateOf(element: readonly Pair[]): Uint8Array | ClientReason {
  const told = { cert: valuesOf(element, 'cert'), chain: valuesOf(element, 'chain'), hash: valuesOf(element, 'hash') };
  if (Object.values(told).some(({ length }) => length > 1)) return 'header.ambiguous';
  const [cert, chain, sha256] = [told.cert[0], told.chain[0], told.hash[0]];
  if (cert === undefined && chain === undefined) return 'certificate.missing';
  const leaf = cert === undefined ? undefined : readPem(percentDecoded(cert) ?? '');
  const path = chain === undefined ? undefined : readPems(percentDecoded(chain) ?? '', MOST_IN_CHAIN);
  if ((cert !== undefined && leaf === undefined) || (chain !== undefined && path === undefined)) return 'header.malformed';
  const first = leaf ?? path?.[0];
  if (first === undefined) return 'header.malformed';
  if (path?.[0] !== undefined && !equalBytes(path[0], first)) return 'header.conflicting';
  return sha256 !== undefined && sha256.toLowerCase() !== toHex(hash('sha256', first, 'buffer')) ? 'header.conflicting' : first;
}

const valuesOf = (element: readonly Pair[], wanted: string): string[] => element.flatMap(({ key, value }) => (key === wanted ? [value] : []));
