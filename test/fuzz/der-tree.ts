import { der } from '@fleetroot/x509';

/** A value of DER as a tree that can be cut and grafted, and written again with lengths that fit. */
export interface Node {
  tag: number;
  content: Buffer;
  /** Values within, also those within OCTET and BIT STRINGs; the content is then not looked at. */
  children?: Node[];
  /** Octets before the children: the unused bits of a BIT STRING. */
  prefix: Buffer;
}

const MAX_DEPTH = 24;

/** The values that fill `bytes` exactly, or undefined where they do not. */
export function parseNodes(bytes: Buffer, depth = 0): Node[] | undefined {
  const nodes: Node[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at]!;
    let length = bytes[at + 1] ?? -1;
    let start = at + 2;
    if (length > 0x80) {
      const octets = length & 0x7f;
      if (octets > 3 || start + octets > bytes.length) return undefined;
      length = octets === 0 ? -1 : bytes.readUIntBE(start, octets);
      start += octets;
    }
    if (length < 0 || length === 0x80 && bytes[at + 1] === 0x80 || start + length > bytes.length) return undefined;
    nodes.push(nodeOf(tag, bytes.subarray(start, start + length), depth));
    at = start + length;
  }
  return nodes;
}

function nodeOf(tag: number, content: Buffer, depth: number): Node {
  const prefix = tag === 0x03 && content[0] === 0 ? content.subarray(0, 1) : Buffer.alloc(0);
  const mayHold = (tag & 0x20) !== 0 || tag === 0x04 || prefix.length > 0;
  const children = mayHold && depth < MAX_DEPTH ? parseNodes(content.subarray(prefix.length), depth + 1) : undefined;
  return children !== undefined && (children.length > 0 || (tag & 0x20) !== 0) ? { tag, content, children, prefix } : { tag, content, prefix };
}

export function encodeNodes(nodes: readonly Node[]): Buffer {
  return Buffer.concat(nodes.flatMap((node) => {
    const content = node.children === undefined ? node.content : Buffer.concat([node.prefix, encodeNodes(node.children)]);
    return [der.header(node.tag, content.length), content];
  }));
}

/** Every list of siblings that is not empty. */
export function siblingLists(nodes: Node[]): Node[][] {
  return nodes.length === 0 ? [] : [nodes, ...nodes.flatMap(({ children }) => (children === undefined ? [] : siblingLists(children)))];
}
