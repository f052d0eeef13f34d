import { describe, expect, it, test } from 'vitest';
import { type MemberCa, trustedMembers } from '../src/index.ts';

/** `1>2` is followed by CA 2, `3!` is not to be trusted. */
function hierarchy(text: string): MemberCa[] {
  return text.split(' ').filter((one) => one !== '').map((one) => {
    const [id, successor] = one.replace('!', '').split('>').map(Number);
    return { id: id ?? 0, successorId: successor, trusted: !one.includes('!') };
  });
}

describe('the CAs that a truststore holds', () => {
  test.each<[string, string, number[], number[]]>([
    ['are its members', '1 2 3', [1, 2], [1, 2]],
    ['stand in the order of the members', '1 2 3', [3, 1], [3, 1]],
    ['take in the next generation', '1>2 2 3', [1, 3], [1, 2, 3]],
    ['take in generation after generation', '1>2 2>3 3', [1], [1, 2, 3]],
    ['lose one that is revoked', '1 2!', [1, 2], [1]],
    ['keep the generation after it', '1!>2 2', [1], [2]],
    ['do not take in one that is revoked', '1>2 2!>3 3', [1], [1, 3]],
    ['name a generation once where it is a member too', '1>2 2', [2, 1], [2, 1]],
    ['name a member once', '1', [1, 1], [1]],
    ['have none that is not on record', '1>9', [1, 7], [1]],
    ['are none where nothing is to be trusted', '1! 2!', [1, 2], []],
    ['end where generations go round', '1>2 2>1', [1], [1, 2]],
    ['are none of no members', '1 2', [], []],
  ])('%s', (_, cas, members, expected) => expect(trustedMembers(members, hierarchy(cas))).toEqual(expected));

  it('are a fixed point: reconciling what was reconciled changes nothing, over 500 random hierarchies', () => {
    let state = 20261122;
    const below = (n: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    for (let round = 0; round < 500; round++) {
      const cas = Array.from({ length: 1 + below(8) }, (_, id): MemberCa => ({ id, successorId: below(3) === 0 ? below(8) : undefined, trusted: below(4) > 0 }));
      const members = Array.from({ length: below(6) }, () => below(9));
      const wanted = trustedMembers(members, cas);
      expect(new Set(wanted).size).toBe(wanted.length);
      for (const id of wanted) expect(cas.find((ca) => ca.id === id)?.trusted).toBe(true);
      for (const id of members.filter((member) => cas.find((ca) => ca.id === member)?.trusted)) expect(wanted).toContain(id);
      expect(trustedMembers(wanted, cas)).toEqual(wanted);
      expect([...trustedMembers(members.toReversed(), cas)].sort()).toEqual([...wanted].sort());
    }
  });
});
