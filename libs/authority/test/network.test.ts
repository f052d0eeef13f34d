import { toHex } from '@fleetroot/core';
import { expect, test } from 'vitest';
import { inNetwork, network } from '../src/profile/network.ts';

test.each<[string, string | undefined]>([
  ['10.0.0.0/8', '0a000000ff000000'], ['0.0.0.0/0', '0000000000000000'], ['192.0.2.128/25', 'c0000280ffffff80'], ['192.0.2.1/32', 'c0000201ffffffff'],
  ['::/0', '0'.repeat(64)], ['2001:db8::/32', `20010db8${'0'.repeat(24)}ffffffff${'0'.repeat(24)}`], ['::1/128', `${'0'.repeat(31)}1${'f'.repeat(32)}`],
  ['1:2:3:4:5:6:7:8/128', `${[1, 2, 3, 4, 5, 6, 7, 8].map((group) => `000${group}`).join('')}${'f'.repeat(32)}`],
  ['fe80::/10', `fe80${'0'.repeat(28)}ffc0${'0'.repeat(28)}`],
  ...['10.0.0.1/8', '10.0.0.0', '10.0.0.0/33', '10.0.0.0/08', '10.0.0/8', '::/129', '::ffff:10.0.0.0/104', '2001:db8::1/32', 'fe80::%1/10', '/8', '', 'a.example/8']
    .map((text): [string, undefined] => [text, undefined]),
])('the network %j is %s', (text, hex) => {
  const found = network(text);
  expect(found === undefined ? undefined : toHex(found)).toBe(hex);
});

test.each<[string, number[], boolean]>([
  ['10.0.0.0/8', [10, 255, 255, 255], true], ['10.0.0.0/8', [11, 0, 0, 0], false], ['10.0.0.0/31', [10, 0, 0, 1], true], ['10.0.0.0/31', [10, 0, 0, 2], false],
  ['0.0.0.0/0', [1, 2, 3, 4], true], ['::/0', [1, 2, 3, 4], false], ['0.0.0.0/0', [...new Uint8Array(16)], false], ['::/0', [...new Uint8Array(16).fill(255)], true],
])('%s holds %j: %s', (text, octets, holds) => expect(inNetwork(Uint8Array.from(octets), network(text) ?? new Uint8Array())).toBe(holds));
