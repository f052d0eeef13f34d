import { readSync, writeSync } from 'node:fs';

/** What a frame between a process and its HSM process carries. */
export const frameKind = { hello: 0, request: 1, sign: 2, reply: 3, failure: 4, signatures: 5, progress: 6 } as const;

export type FrameKind = (typeof frameKind)[keyof typeof frameKind];

export interface Frame {
  readonly kind: number;
  readonly body: Buffer;
}

/** Octets before the body: its length (32 bits, little-endian) and the kind. */
const HEADER = 5;

/** Nothing of ours comes near; a length beyond is a broken stream. */
const LONGEST_BODY = 256 * 1024 * 1024;

export function encodeFrame(kind: FrameKind, body: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.allocUnsafe(HEADER + body.length);
  frame.writeUInt32LE(body.length, 0);
  frame.writeUInt8(kind, 4);
  frame.set(body, HEADER);
  return frame;
}

/** Byte strings one after another: their number, the length of each, then all of them. */
export function packStrings(strings: readonly Uint8Array[]): Buffer {
  let at = 4 + 4 * strings.length;
  const packed = Buffer.allocUnsafe(strings.reduce((sum, string) => sum + string.length, at));
  packed.writeUInt32LE(strings.length, 0);
  strings.forEach((string, i) => {
    packed.writeUInt32LE(string.length, 4 + 4 * i);
    packed.set(string, at);
    at += string.length;
  });
  return packed;
}

/** The strings of `packStrings`, as views of `bytes`. */
export function unpackStrings(bytes: Buffer): Buffer[] {
  const count = bytes.readUInt32LE(0);
  let at = 4 + 4 * count;
  return Array.from({ length: count }, (_, i) => {
    const end = at + bytes.readUInt32LE(4 + 4 * i);
    if (end > bytes.length) throw new RangeError('a packed string is longer than its frame');
    const string = bytes.subarray(at, end);
    at = end;
    return string;
  });
}

/** Cuts frames out of a stream that comes in pieces. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #length = 0;
  /** Octets without which the next frame is not whole. */
  #needed = HEADER;

  /** The frames that this piece completes. */
  push(piece: Buffer): Frame[] {
    this.#pieces.push(piece);
    this.#length += piece.length;
    const frames: Frame[] = [];
    while (this.#length >= this.#needed) {
      const bytes = Buffer.concat(this.#pieces);
      const end = HEADER + bodyLength(bytes);
      if (bytes.length < end) {
        this.#pieces = [bytes];
        this.#needed = end;
        break;
      }
      frames.push({ kind: bytes.readUInt8(4), body: bytes.subarray(HEADER, end) });
      this.#pieces = [bytes.subarray(end)];
      this.#length -= end;
      this.#needed = HEADER;
    }
    return frames;
  }
}

/** The child's end: blocking reads and writes on a file descriptor, for a process that does one thing at a time. */
export class BlockingChannel {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The next frame, or undefined once the other end has closed. */
  read(): Frame | undefined {
    const header = this.#fill(Buffer.allocUnsafe(HEADER));
    const body = header === undefined ? undefined : this.#fill(Buffer.allocUnsafe(bodyLength(header)));
    return header === undefined || body === undefined ? undefined : { kind: header.readUInt8(4), body };
  }

  write(kind: FrameKind, body?: Uint8Array): void {
    const bytes = encodeFrame(kind, body);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
  }

  #fill(buffer: Buffer): Buffer | undefined {
    for (let at = 0; at < buffer.length; ) {
      const got = this.#read(buffer, at);
      if (got === 0) return undefined;
      at += got;
    }
    return buffer;
  }

  /** Octets read, 0 at the end. Another end that died with our words unread resets the connection, which is an end too. */
  #read(buffer: Buffer, at: number): number {
    try {
      return readSync(this.#fd, buffer, at, buffer.length - at, null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') return 0;
      throw error;
    }
  }
}

function bodyLength(header: Buffer): number {
  const length = header.readUInt32LE(0);
  if (length > LONGEST_BODY) throw new RangeError('the stream of frames is broken');
  return length;
}
