import { describe, expect, it } from 'vitest';
import { benches, help, parseCommandLine } from './command-line.ts';

const parse = (line: string) => parseCommandLine(line.split(' ').filter((word) => word !== ''));

describe('npm run bench', () => {
  it.each([
    ['batch --items 100000 --issuers 2', 'batch', { items: 100_000, issuers: 2, redis: false, curve: false, prefill: undefined }],
    ['batch --curve --items 5000', 'batch', { items: 5_000, curve: true }],
    ['batch --prefill 10000000 --issuers 1', 'batch', { items: 20_000, issuers: 1, prefill: 10_000_000, curve: false }],
    ['single', 'single', { rate: undefined, seconds: 20, 'during-batch': false }],
    ['single --during-batch --items=7', 'single', { 'during-batch': true, items: 7 }],
    ['single --during-batch', 'single', { items: 100_000 }],
    ['authorize --certificates 10', 'authorize', { certificates: 10, seconds: 5 }],
    ['x509 --entries 10', 'x509', { entries: 10 }],
    ['revocation', 'revocation', { only: ['ocsp', 'batch', 'visible', 'publish', 'filter'], known: 10_000_000, revoked: 1_000_000, items: 50_000 }],
    ['revocation --only visible,ocsp --known 10000 --revoked 6000', 'revocation', { only: ['visible', 'ocsp'], revoked: 6_000 }],
  ])('%s', (line, name, values) => expect(parse(line)).toMatchObject({ kind: 'run', name, values }));

  it.each([['', 'all'], ['--help', 'help'], ['-h', 'help'], ['batch --help', 'help'], ['nothing --help', 'help']])('%s: %s', (line, kind) => {
    expect(parse(line).kind).toBe(kind);
  });

  it.each([
    ['nothing', 'there is no bench nothing. There are: x509, hsm, batch, single, revocation, revoke, authorize'],
    ['--items 5', 'name a bench before --items'],
    ['batch --bogus', '--bogus'],
    ['batch --items', '--items'],
    ['batch --items 0', '--items takes a whole number from 1 to 1000000, not 0'],
    ['batch --items 1000001', 'from 1 to 1000000'],
    ['batch --items 1e3', 'not 1e3'],
    ['batch --curve=yes', '--curve'],
    ['batch 5000', '5000 is one word too many (flags go behind --: npm run bench batch -- --items 5000)'],
    ['batch --curve --issuers 2', '--issuers does not go with --curve'],
    ['batch --curve --prefill 10', '--curve does not go with --prefill'],
    ['single --items 10', '--items goes with --during-batch only'],
    ['single --during-batch --seconds 3', '--seconds does not go with --during-batch'],
    ['hsm --items 10', '--items'],
    ['revocation --only crls', '--only takes words of ocsp, batch, visible, publish, filter, with commas between them, not crls'],
    ['revocation --only', '--only'],
    ['revocation --only=', 'with commas between them, not '],
    ['revocation --only filter --known 10000 --revoked 6000', 'bench revocation: --revoked takes at most half of --known, 5000'],
    ['authorize --certificates 9', '--certificates takes a whole number from 10 to 100000, not 9'],
  ])('%s: wrong', (line, message) => {
    const parsed = parse(line);
    expect(parsed).toMatchObject({ kind: 'wrong', message: expect.stringContaining(message) });
  });

  it('the help names every bench and flag', () => {
    const text = help();
    for (const [name, { flags }] of Object.entries(benches)) {
      expect(text).toContain(`\n${name}: `);
      for (const flag of Object.keys(flags)) expect(text).toContain(`  --${flag}`);
    }
  });
});
