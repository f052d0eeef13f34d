import { readSync, writeSync } from 'node:fs';

/** What a frame between a process and its HSM process carries. */
export const frameKind = {
  hello: 0, request: 1, sign: 2, reply: 3, failure: 4, signatures: 5, progress: 6,
  /** A `Failure` and the signatures that were made before it. */
  interrupted: 7,
} as const;

export type FrameKind = (typeof frameKind)[keyof typeof frameKind];

export interface Frame {
  readonly kind: number;
  readonly body: Buffer;
}

/** Octets before the body: its length (32 bits, little-endian) and the kind. */
const HEADER = 5;

/** Nothing of ours comes near; a length beyond is a broken stream. */
const LONGEST_BODY = 256 * 1024 * 1024;

const READ_AHEAD = 64 * 1024;

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
  let size = at;
  for (const { length } of strings) size += length;
  const packed = Buffer.allocUnsafe(size);
  packed.writeUInt32LE(strings.length, 0);
  for (const [i, string] of strings.entries()) {
    packed.writeUInt32LE(string.length, 4 + 4 * i);
    packed.set(string, at);
    at += string.length;
  }
  return packed;
}

/** The strings of `packStrings`, as views of `bytes`. */
export function unpackStrings(bytes: Buffer): Buffer[] {
  const count = bytes.readUInt32LE(0);
  if (4 + 4 * count > bytes.length) throw new RangeError('more packed strings than their frame has room for');
  const strings: Buffer[] = [];
  let at = 4 + 4 * count;
  for (let i = 0; i < count; i++) {
    const end = at + bytes.readUInt32LE(4 + 4 * i);
    if (end > bytes.length) throw new RangeError('a packed string is longer than its frame');
    strings.push(bytes.subarray(at, end));
    at = end;
  }
  return strings;
}

/** A frame of packed strings, as `packStrings` makes its body, that is filled in place and used again. */
export class PackedFrame {
  #bytes = Buffer.allocUnsafe(READ_AHEAD);
  #count = 0;
  #added = 0;
  #at = 0;

  /** For so many strings; those of the frame before are gone. */
  begin(count: number): void {
    this.#count = count;
    this.#added = 0;
    this.#at = HEADER + 4 + 4 * count;
  }

  add(string: Uint8Array): void {
    const end = this.#at + string.length;
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], 2 * end);
    this.#bytes.set(string, this.#at);
    this.#bytes.writeUInt32LE(string.length, HEADER + 4 + 4 * this.#added++);
    this.#at = end;
  }

  /** The frame, once all were added; it holds until the next one is begun. */
  encode(kind: FrameKind): Buffer {
    this.#bytes.writeUInt32LE(this.#at - HEADER, 0);
    this.#bytes.writeUInt8(kind, 4);
    this.#bytes.writeUInt32LE(this.#count, HEADER);
    return this.#bytes.subarray(0, this.#at);
  }

  /** What was added so far, as views. */
  strings(): Buffer[] {
    let at = HEADER + 4 + 4 * this.#count;
    return Array.from({ length: this.#added }, (_, i) => {
      const start = at;
      at += this.#bytes.readUInt32LE(HEADER + 4 + 4 * i);
      return this.#bytes.subarray(start, at);
    });
  }
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
  /** Read ahead: of several frames that wait, one call gets all. */
  #buffer: Buffer = Buffer.allocUnsafe(READ_AHEAD);
  #start = 0;
  #end = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The next frame, or undefined once the other end has closed. Its body holds until the next call. */
  read(): Frame | undefined {
    const header = this.#take(HEADER);
    if (header === undefined) return undefined;
    const kind = header.readUInt8(4);
    const body = this.#take(bodyLength(header));
    return body === undefined ? undefined : { kind, body };
  }

  /** A frame that is encoded already. */
  send(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
  }

  /** The next octets, as a view; undefined where the other end has closed before them. */
  #take(count: number): Buffer | undefined {
    if (this.#end - this.#start < count) {
      const kept = this.#buffer.subarray(this.#start, this.#end);
      const room = count > this.#buffer.length ? Buffer.allocUnsafe(count) : this.#buffer;
      // What stands before it was given out by the call before and is not needed any more.
      room.set(kept);
      [this.#buffer, this.#start, this.#end] = [room, 0, kept.length];
    }
    while (this.#end < this.#start + count) {
      const got = this.#read(this.#buffer, this.#end);
      if (got === 0) return undefined;
      this.#end += got;
    }
    this.#start += count;
    return this.#buffer.subarray(this.#start - count, this.#start);
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
