import { Readable } from 'node:stream';
import { ApiRefusal, type RestClient } from '../rest.ts';
import type { BatchState } from './batch-state.ts';
import type { ItemsFile, Part } from './items-file.ts';
import { LineError, lineStatus, wrongUse } from './line-error.ts';
import { type Patience, refused } from './patience.ts';

/** A batch that is sent in parts, as the API has it. */
export interface Upload {
  readonly id: string;
  /** Items that it holds for good. */
  readonly received: number;
  /** Their digest, in hex. */
  readonly digest: string;
  readonly state: 'receiving' | 'accepted' | 'done';
}

export interface UploadParts {
  readonly client: RestClient;
  readonly patience: Patience;
  readonly file: ItemsFile;
  readonly state: BatchState;
  /** Items that are on their way or there; may fall back where a connection breaks. */
  readonly onSent: (items: number) => void;
}

/** A part goes out in slices of this many octets, so that the count moves on a slow connection too. */
const SLICE = 64 * 1024;

/** An earlier connection of ours got further than we know. */
const MOVED_ON: ReadonlySet<string> = new Set(['upload.offset', 'upload.accepted']);

/**
 * Opens the upload, or finds the one that this key has opened.
 * @throws LineError
 */
export function openUpload({ client, patience, state }: Omit<UploadParts, 'file' | 'onSent'>): Promise<Upload> {
  const { profile, ca, resendOf, idempotencyKey } = state;
  const body = { profile, ...(ca === undefined ? {} : { ca }), ...(resendOf === undefined ? {} : { resendOf }) };
  return patience.over(async () => await client.post('/v1/uploads', body, { 'idempotency-key': idempotencyKey }) as Upload);
}

/**
 * Sends what the API does not have yet, and has all of it accepted. Whatever breaks, it is asked what has arrived, and the
 * rest is sent: nothing twice. On return the batch is durable there and will be issued.
 * @throws LineError
 */
export async function sendItems(opened: Upload, parts: UploadParts): Promise<void> {
  const { client, patience, file } = parts;
  const { id } = opened;
  let upload = opened;
  while (upload.state === 'receiving') {
    if (!isBeginning(upload, file)) throw await otherContent(upload, parts);
    parts.onSent(upload.received);
    if (upload.received < file.items) {
      upload = await sendPart(upload, file.part(upload.received), parts);
      continue;
    }
    try {
      await patience.over(() => client.post(`/v1/uploads/${id}/accept`, { items: file.items, digest: file.digest }));
    } catch (error) {
      // Another connection of ours may still have been at work; the comparison at the top says what is amiss.
      if (!(error instanceof LineError) || error.code !== 'upload.incomplete') throw error;
      upload = await current(id, parts);
      if (upload.received === file.items) throw error;
      continue;
    }
    return;
  }
  if (upload.received !== file.items || upload.digest !== file.digest) throw await otherContent(upload, parts);
}

/** Returns the upload as it is after the part went, or broke off. */
async function sendPart({ id, received }: Upload, part: Part, parts: UploadParts): Promise<Upload> {
  const { client, patience, file, onSent } = parts;
  const slices = function* (): Generator<Buffer> {
    for (let at = 0; at < part.body.length; at += SLICE) {
      yield part.body.subarray(at, at + SLICE);
      onSent(received + Math.floor(part.items * Math.min(1, (at + SLICE) / part.body.length)));
    }
  };
  try {
    const upload = await client.json('PATCH', `/v1/uploads/${id}?from=${received}`, {
      body: Readable.from(slices(), { objectMode: false }),
      headers: { 'content-type': 'application/x-ndjson', 'content-length': String(part.body.length) },
    }) as Upload;
    patience.moved();
    return upload;
  } catch (error) {
    if (!(error instanceof ApiRefusal) || !MOVED_ON.has(error.code ?? '')) await patience.wait(lineNamed(error, received, file));
    return current(id, parts);
  }
}

function current(id: string, { client, patience }: UploadParts): Promise<Upload> {
  return patience.over(async () => await client.get(`/v1/uploads/${id}`) as Upload);
}

/** Whether what the API holds is the beginning of the file. */
function isBeginning({ received, digest }: Upload, file: ItemsFile): boolean {
  return received <= file.items && digest === (received === file.items ? file.digest : file.digestAt(received));
}

/** The file was changed after it was checked, or the operator's key belongs to another batch. */
async function otherContent({ id, received, state: where }: Upload, { client, file, state }: UploadParts): Promise<LineError> {
  const what = `batch ${id} holds ${received} items that are not those of ${file.path}`;
  if (state.key !== undefined) return wrongUse(`${what}: --key ${state.key} belongs to another batch, choose another`);
  // The key is made of the whole file's digest: what lies there under it is of use to nobody.
  if (where === 'receiving') await client.delete(`/v1/uploads/${id}`);
  return wrongUse(`${what}, which was changed while it was sent. Nothing was issued: give the command again once the file is complete`);
}

/** The API counts the lines of a part; the operator has the file. */
function lineNamed(error: unknown, from: number, file: ItemsFile): unknown {
  if (!(error instanceof ApiRefusal) || typeof error.data['line'] !== 'number') return error;
  const line = file.lineNumber(from + error.data['line'] - 1);
  return new LineError(lineStatus.refused, `${refused(error).message}: that is line ${line} of ${file.path}`, { cause: error, ...(error.code === undefined ? {} : { code: error.code }) });
}
