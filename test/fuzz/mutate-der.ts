import { encodeNodes, type Node, parseNodes, siblingLists } from './der-tree.ts';
import type { Random } from './random.ts';

/** The largest input: what the parsers must get through in 50 ms. */
export const MAX_INPUT = 64 * 1024;

/** Lengths as headers lie about them: indefinite, giant, in too many octets, of the end of the numbers. */
const LENGTHS = ['80', 'ff', '7f', '00', '8100', '817f', '82ffff', '820001', '83ffffff', '84ffffffff', '847fffffff', '8480000000', '85ffffffffff', '8800000000ffffffff', 'fe'];
const TAGS = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x1e, 0x1f, 0x24, 0x30, 0x31, 0x80, 0x82, 0x87, 0xa0, 0xa1, 0xa3, 0xbf, 0xff];
const NUMBERS = ['', '00', 'ff', '80', '7f', '0000', 'ff7f', '0080', '7fffffff', '80000000', '00ffffffffffffffff', '55'.repeat(21), '7f'.repeat(400)];

type TreeChange = (list: Node[], place: number, random: Random, other: () => Node) => void;

const treeChanges: readonly TreeChange[] = [
  (list, place) => list.splice(place, 1),
  (list, place) => list.splice(place, 0, list[place]!),
  (list, place, random, other) => { list[place] = random.chance(2) ? other() : random.pick(list); },
  (list, place, random, other) => list.splice(place + random.below(2), 0, other()),
  (list, place, random) => { list[place] = { ...list[place]!, tag: random.chance(3) ? list[place]!.tag ^ (1 << random.below(8)) : random.pick(TAGS) }; },
  (list, place, random) => { list[place] = leaf(list[place]!.tag, Buffer.from(random.pick(NUMBERS), 'hex')); },
  (list, place, random) => { list[place] = leaf(list[place]!.tag, random.bytes(random.below(40))); },
  (list, place, random) => list.splice(place, 0, ...Array<Node>(1 << random.below(12)).fill(list[place]!)),
  (list, place, random) => { list[place] = nested(list[place]!, random); },
  (list, place, random) => { list[place] = changedContent(list[place]!, random); },
  (list) => { list.reverse(); },
];

const leaf = (tag: number, content: Buffer): Node => ({ tag, content, prefix: Buffer.alloc(0) });

function nested(node: Node, random: Random): Node {
  const tag = random.pick([0x30, 0x31, 0xa0, 0x24, node.tag | 0x20]);
  // Written from within, or the recursion would be ours to survive.
  let bytes = encodeNodes([node]);
  for (let depth = 1 << random.below(14); depth > 0 && bytes.length < MAX_INPUT; depth--) {
    bytes = Buffer.concat([Buffer.from(bytes.length < 0x80 ? [tag, bytes.length] : [tag, 0x83, bytes.length >> 16, (bytes.length >> 8) & 255, bytes.length & 255]), bytes]);
    if (depth > 400) depth -= 40;
  }
  return leaf(tag, bytes.subarray(2));
}

function changedContent(node: Node, random: Random): Node {
  const content = Buffer.from(encodeNodes([node]).subarray(-Math.max(node.content.length, 1)));
  for (let times = 1 + random.below(3); times > 0; times--) content[random.below(content.length)]! ^= 1 << random.below(8);
  return leaf(node.tag, content);
}

type ByteChange = (bytes: Buffer, random: Random, other: Buffer) => Buffer;

const byteChanges: readonly ByteChange[] = [
  (bytes, random) => { bytes[random.below(bytes.length)]! ^= 1 << random.below(8); return bytes; },
  (bytes, random) => { bytes[random.below(bytes.length)] = random.pick([0, 0x7f, 0x80, 0x81, 0x84, 0xff, random.below(256)]); return bytes; },
  (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  (bytes, random) => spliced(bytes, random.below(bytes.length), random.below(3), Buffer.from(random.pick(LENGTHS), 'hex')),
  (bytes, random) => spliced(bytes, random.below(bytes.length), 0, random.bytes(1 + random.below(16))),
  (bytes, random) => spliced(bytes, random.below(bytes.length), random.below(16), Buffer.alloc(0)),
  (bytes, random, other) => Buffer.concat([bytes.subarray(0, random.below(bytes.length)), other.subarray(random.below(other.length))]),
  (bytes, random) => Buffer.concat([bytes, random.bytes(1 + random.below(8))]),
  (bytes, random) => { const at = random.below(bytes.length); return spliced(bytes, at, 0, bytes.subarray(at, at + random.below(400))); },
  (_, random) => Buffer.alloc(1 + random.below(MAX_INPUT), random.pick([0, 0x30, 0x31, 0x04, 0x24, 0xa0, 0xff])),
];

const spliced = (bytes: Buffer, at: number, remove: number, insert: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);

/** Another input from one of the corpus: its tree changed with lengths that fit, its octets changed with none, or both. */
export function mutateDer(seed: Buffer, others: readonly Buffer[], random: Random): Buffer {
  let bytes: Buffer = Buffer.from(seed);
  if (!random.chance(4)) bytes = changeTree(bytes, others, random);
  if (random.chance(4) || bytes.equals(seed)) {
    for (let times = 1 + random.below(3); times > 0 && bytes.length > 0; times--) bytes = random.pick(byteChanges)(Buffer.from(bytes), random, random.pick(others));
  }
  return bytes.subarray(0, MAX_INPUT);
}

function changeTree(bytes: Buffer, others: readonly Buffer[], random: Random): Buffer {
  const tree = parseNodes(bytes);
  if (tree === undefined || tree.length === 0) return bytes;
  const other = (): Node => {
    const lists = siblingLists(parseNodes(random.pick(others)) ?? []);
    return lists.length === 0 ? leaf(0x05, Buffer.alloc(0)) : random.pick(random.pick(lists));
  };
  // Mostly one change: more of them are seldom accepted, and then teach nothing of what lies behind.
  for (let times = random.chance(3) ? 1 + random.below(4) : 1; times > 0; times--) {
    const lists = siblingLists(tree);
    if (lists.length === 0) break;
    const list = random.pick(lists);
    random.pick(treeChanges)(list, random.below(list.length), random, other);
    // A subtree that stands in several places would grow with every change.
    if (siblingLists(tree).length > 4000) break;
  }
  return encodeNodes(tree);
}
