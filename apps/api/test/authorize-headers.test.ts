import { hash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { encodePem } from '@fleetroot/x509';
import { readCertificate, readEscapedPem } from '../src/authorize/certificate-text.ts';
import { readClientCert } from '../src/authorize/client-cert.ts';
import { proxyFields } from '../src/authorize/header-fields.ts';
import { Proxies } from '../src/authorize/proxies.ts';
import { parseXfcc, readLastXfcc, readXfcc } from '../src/authorize/xfcc.ts';

/** Whether the octets are a certificate is not asked here. */
const der = (size: number, seed = 1): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 7 + seed) & 0xff);
const [one, two] = [der(300), der(301, 5)];
const pem = (octets: Uint8Array): string => encodePem('CERTIFICATE', octets);
const escaped = (...all: Uint8Array[]): string => encodeURIComponent(all.map(pem).join(''));
const item = (octets: Uint8Array): string => `:${Buffer.from(octets).toString('base64')}:`;
const sha256 = (octets: Uint8Array): string => hash('sha256', octets);
/** Octets are told by their number. */
const told = (read: Uint8Array | string | undefined): number | string | undefined => (read instanceof Uint8Array ? read.length : read);

describe('percent-encoded PEM', () => {
  test.each<[string, string, number | string]>([
    ['as nginx writes it', escaped(one), 300],
    ['with little encoded', pem(one).replaceAll('\n', '%0A').replaceAll(' ', '%20'), 300],
    ['in lower-case digits', escaped(one).replaceAll(/%../g, (digits) => digits.toLowerCase()), 300],
    ['with a plus for a space', escaped(one).replaceAll('%20', '+'), 'header.malformed'],
    ['half a percent', `${escaped(one)}%0`, 'header.malformed'],
    ['percent and no digits', `${escaped(one)}%zz`, 'header.malformed'],
    ['no UTF-8', `${escaped(one)}%ff`, 'header.malformed'],
    ['a NUL behind it', `${escaped(one)}%00`, 'header.malformed'],
    ['text before it', `hello%0A${escaped(one)}`, 'header.malformed'],
    ['two certificates', escaped(one, two), 'header.malformed'],
    ['another label', encodeURIComponent(encodePem('X509 CRL', one)), 'header.malformed'],
    ['a certificate and another block', escaped(one) + encodeURIComponent(encodePem('X509 CRL', one)), 'header.malformed'],
    ['an empty block', escaped(new Uint8Array()), 'header.malformed'],
    ['no end', escaped(one).slice(0, -20), 'header.malformed'],
    ['encoded twice', encodeURIComponent(escaped(one)), 'header.malformed'],
    ['base64 alone', encodeURIComponent(Buffer.from(one).toString('base64')), 'header.malformed'],
    ['nothing', '', 'header.malformed'],
    ['very much', escaped(der(40_000)), 'header.malformed'],
  ])('%s', (_, text, expected) => expect(told(readEscapedPem(text))).toBe(expected));
});

test.each<[string, string, number | undefined]>([
  ['PEM', pem(one), 300], ['PEM with white space around it', `\n  ${pem(one)}\n`, 300], ['base64', Buffer.from(one).toString('base64'), 300],
  ['base64 with a line feed behind', `${Buffer.from(one).toString('base64')}\n`, 300], ['base64url', Buffer.from(Uint8Array.of(255, 255, 255)).toString('base64url'), undefined],
  ['two', pem(one) + pem(two), undefined], ['a key', encodePem('PRIVATE KEY', one), undefined], ['nothing', '', undefined], ['a space', ' ', undefined],
])('a body with %s', (_, text, expected) => expect(told(readCertificate(text))).toBe(expected));

describe('Client-Cert (RFC 9440)', () => {
  const chain = (...members: string[]): string => `${item(one)}\n${members.join('')}`;
  test.each<[string, string, number | string]>([
    ['a byte sequence', item(one), 300], ['with spaces around it', `  ${item(one)} `, 300],
    ['a parameter', `${item(one)};a=1`, 'header.malformed'], ['two', `${item(one)}, ${item(two)}`, 'header.malformed'],
    ['a string', '"abc"', 'header.malformed'], ['a token', 'abc', 'header.malformed'], ['none', '', 'header.malformed'], ['of no octets', '::', 'header.malformed'],
    ['no padding', ':AAA:', 'header.malformed'], ['bits behind the end', ':AAB=:', 'header.malformed'], ['base64url', ':__8=:', 'header.malformed'],
    ['a line in it', `:AA\tAA:`, 'header.malformed'], ['no end', item(one).slice(0, -1), 'header.malformed'], ['very much', item(der(40_000)), 'header.malformed'],
    ['with a chain', chain(item(two)), 300], ['with a chain of two', chain(item(two), ' ,\t', item(one)), 300],
    ['with an empty chain', chain(''), 'header.malformed'], ['with a comma at the end', chain(item(two), ','), 'header.malformed'],
    ['with a chain that is none', chain('x'), 'header.malformed'], ['with a chain of eleven', chain(Array.from({ length: 11 }, () => item(two)).join(',')), 'header.malformed'],
  ])('%s', (_, text, expected) => expect(told(readClientCert(text))).toBe(expected));
});

describe('x-forwarded-client-cert', () => {
  const cert = (octets: Uint8Array): string => `Cert="${escaped(octets)}"`;
  test.each<[string, string, number | string]>([
    ['as Envoy writes it', `By=http://frontend.lyft.com;Hash=${sha256(one)};${cert(one)};Subject="/C=US/ST=CA/CN=Test \\"x\\"";URI=http://t.example;DNS=a.example;DNS=b.example`, 300],
    ['without quotes', `Cert=${escaped(one)}`, 300], ['in other letters', cert(one).replace('Cert', 'CERT'), 300],
    ['spaces between', `By=x ; ${cert(one)} `, 300], ['a key that nobody knows', `Foo=1;${cert(one)}`, 300],
    ['a chain alone, leaf first', `Chain="${escaped(one, two)}"`, 300], ['a chain beside it', `${cert(one)};Chain="${escaped(one, two)}"`, 300],
    ['the chain of another', `${cert(two)};Chain="${escaped(one, two)}"`, 'header.conflicting'],
    ['the hash of another', `${cert(one)};Hash=${sha256(two)}`, 'header.conflicting'], ['half a hash', `${cert(one)};Hash=${sha256(one).slice(2)}`, 'header.conflicting'],
    ['the hash alone', `Hash=${sha256(one)}`, 'certificate.missing'], ['two certificates', `${cert(one)};${cert(two)}`, 'header.ambiguous'],
    ['the same twice', `${cert(one)};cert="${escaped(one)}"`, 'header.ambiguous'], ['two hashes', `${cert(one)};Hash=${sha256(one)};Hash=${sha256(one)}`, 'header.ambiguous'],
    ['two elements', `${cert(one)},${cert(two)}`, 'header.ambiguous'], ['an element in a quoted value', `Subject="CN=a,${cert(two).replaceAll('"', '\\"')}";${cert(one)}`, 300],
    ['an empty certificate', 'Cert=""', 'header.malformed'], ['a certificate that is none', 'Cert="hello"', 'header.malformed'], ['a broken one beside a good chain', `Cert=x;Chain="${escaped(one)}"`, 'header.malformed'],
    ['nothing', '', 'header.malformed'], ['no key', '=x', 'header.malformed'], ['no value', 'Cert', 'header.malformed'], ['a comma at the end', `${cert(one)},`, 'header.malformed'],
    ['a semicolon at the end', `${cert(one)};`, 'header.malformed'], ['two commas', `${cert(one)},,${cert(two)}`, 'header.malformed'],
    ['a quote without end', cert(one).slice(0, -1), 'header.malformed'], ['something behind a quote', `${cert(one)}x`, 'header.malformed'], ['a quote within', `By=a"b;${cert(one)}`, 'header.malformed'],
    ['an equals sign without quotes', `By=a=b;${cert(one)}`, 'header.malformed'], ['a backslash at the end', 'By="a\\', 'header.malformed'],
    ['seventeen elements', Array.from({ length: 17 }, () => cert(one)).join(','), 'header.malformed'], ['very many pairs', 'a=b;'.repeat(65) + cert(one), 'header.malformed'],
  ])('%s', (_, text, expected) => expect(told(readXfcc(text))).toBe(expected));

  test.each<[string, string, number | string]>([
    ['the only one', cert(one), 300], ['the last of two', `${cert(one)},${cert(two)}`, 301], ['a last one without', `${cert(one)},By=x`, 'certificate.missing'],
    ['one that a client smuggles in by a quote', `Subject="a,${cert(one)}`, 'header.malformed'],
  ])('of which the last counts: %s', (_, text, expected) => expect(told(readLastXfcc(text))).toBe(expected));

  const key = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,8}$/);
  const quoted = (value: string): string => `"${value.replaceAll(/["\\]/g, (character) => `\\${character}`)}"`;
  it('gives back whatever values were quoted', () => {
    fc.assert(fc.property(fc.array(fc.array(fc.tuple(key, fc.string({ maxLength: 20 })), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 }), (elements) => {
      const text = elements.map((pairs) => pairs.map(([name, value]) => `${name}=${quoted(value)}`).join(';')).join(',');
      expect(parseXfcc(text)).toEqual(elements.map((pairs) => pairs.map(([name, value]) => ({ key: name.toLowerCase(), value }))));
    }));
  });
});

const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ unit: fc.constantFrom('"', '\\', ',', ';', '=', ':', '%', '-', 'A', ' ', '\n'), maxLength: 300 }),
  fc.tuple(fc.constantFrom(escaped(one), `Cert="${escaped(one)}",By="x"`, item(one), pem(one)), fc.nat(), fc.string({ maxLength: 3 })).map(([text, at, with_]) => {
    const place = at % text.length;
    return text.slice(0, place) + with_ + text.slice(place + 1);
  }));

test('whatever comes, an answer is octets or a reason, and the same again', () => {
  fc.assert(fc.property(hostile, (text) => {
    for (const read of [readEscapedPem, readClientCert, readXfcc, readLastXfcc]) {
      const found = read(text);
      expect(typeof found === 'string' || found.length > 0).toBe(true);
      expect(read(text)).toEqual(found);
    }
  }), { numRuns: 500 });
});

test('what is long takes time by its length alone', () => {
  for (const text of ['"'.repeat(16_000), 'a="'.repeat(5000), '-----BEGIN CERTIFICATE-----'.repeat(600), '%41'.repeat(5000), ':A'.repeat(8000), `a="${'\\'.repeat(15_000)}`]) {
    const before = process.cpuUsage();
    for (const read of [readEscapedPem, readClientCert, readXfcc, readLastXfcc]) read(text);
    expect(process.cpuUsage(before).user).toBeLessThan(500_000);
  }
});

describe('header fields', () => {
  test.each<[string, string[], object | 'twice']>([
    ['none', ['Host', 'a'], {}], ['one, in any letters', ['X-SSL-CLIENT-cert', 'a'], { 'x-ssl-client-cert': 'a' }],
    ['the same twice', ['Client-Cert', 'a', 'client-cert', 'a'], 'twice'], ['twice, one empty', ['Client-Cert', '', 'client-cert', 'a'], 'twice'],
    ['two tokens', ['X-Fleetroot-Proxy-Token', 'a', 'X-Fleetroot-Proxy-Token', 'b'], 'twice'], ['underscores are another name', ['X_SSL_Client_Cert', 'a'], {}],
    ['a name of the same length', ['X-SSL-Client-Cerx', 'a'], {}],
    ['several', ['Client-Cert', 'a', 'Client-Cert-Chain', 'b', 'X-Fleetroot-Truststore', 'c'], { 'client-cert': 'a', 'client-cert-chain': 'b', 'x-fleetroot-truststore': 'c' }],
  ])('%s', (_, raw, expected) => expect(proxyFields(raw)).toEqual(expected));
});

describe('proxies', () => {
  const proxies = Proxies.parse('escaped-pem=10.0.0.0/8, xfcc=10.1.2.3+token\n client-cert=fd00::/8 xfcc-last=::1');
  test.each<[string | undefined, object | undefined]>([
    ['10.255.0.1', { form: 'escaped-pem', token: false }], ['10.1.2.3', { form: 'escaped-pem', token: false }], ['::ffff:10.0.0.1', { form: 'escaped-pem', token: false }],
    ['11.0.0.1', undefined], ['fd00::1', { form: 'client-cert', token: false }], ['fe80::1', undefined], ['::1', { form: 'xfcc-last', token: false }], ['127.0.0.1', undefined],
    ['', undefined], [undefined, undefined], ['10.0.0.1, 10.0.0.2', undefined],
  ])('%s', (address, expected) => {
    const grant = proxies.grant(address);
    expect(grant === undefined ? undefined : { form: grant.form, token: grant.token }).toEqual(expected);
  });
  test.each([
    'escaped-pem', 'escaped-pem=', 'pem=10.0.0.1', 'xfcc=10.0.0.1/33', 'xfcc=fd00::/129', 'xfcc=10.0.0', 'xfcc=gateway.example', 'xfcc=10.0.0.1+Token', 'xfcc=0.0.0.0/0', 'xfcc=::/0+token',
    'xfcc=10.0.0.1/', 'xfcc=10.0.0.1/-1', '=10.0.0.1', 'xfcc=10.0.0.1;client-cert=10.0.0.2',
  ])('%s is no setting', (text) => expect(() => Proxies.parse(text)).toThrow(expect.objectContaining({ code: 'config.invalid' })));
  it('none is believed where nothing is set', () => {
    expect(Proxies.parse(undefined).grant('127.0.0.1')).toBeUndefined();
    expect(Proxies.parse('').grant('::1')).toBeUndefined();
  });
});

