/** One thing that is published, as it is to lie somewhere else. */
export interface CopyObject {
  /** Below the public URL, without a slash before it. */
  readonly path: string;
  readonly contentType: string;
  /** Changes with the octets. */
  readonly of: string;
  /** Lower-case hex, where it is known before the octets are read. */
  readonly sha256: string | undefined;
  /** Of a CRL: none is ever replaced by one with a lower number (I13). */
  readonly crl: { readonly number: bigint; readonly thisUpdate: Date; readonly nextUpdate: Date } | undefined;
  /** undefined: it was replaced meanwhile; the next round has what came. */
  read(): Promise<Uint8Array | undefined>;
}

/** What lies at a path now. */
export interface Lying {
  readonly sha256: string | undefined;
  /** Of a CRL. */
  readonly number: bigint | undefined;
  /** Of this very state: a write that rests on it fails, or looks again, where there is another. */
  readonly state: string;
}

/** Where copies lie: whole objects, each put in the place of the one before at once. */
export interface CopyTarget {
  /** For log and metrics: `directory`, `s3`. */
  readonly name: string;
  /** undefined: nothing. */
  look(path: string): Promise<Lying | undefined>;
  /** Whether what was put there, or looked at, still lies there, as far as that can be told at next to no cost. */
  isUntouched(path: string): Promise<boolean>;
  /**
   * Readers find the old or the new octets, whole. Durable after `settle`.
   * @param over what the decision to write rests on
   * @returns false: something else lies there by now
   */
  put(object: Pick<CopyObject, 'path' | 'contentType' | 'crl'>, octets: Uint8Array, sha256: string, over: Lying | undefined): Promise<boolean>;
  /** Makes durable what was put. */
  settle(): Promise<void>;
  /** Octets of a small object, or undefined. */
  get(path: string): Promise<Uint8Array | undefined>;
}
