import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Answer {
  readonly status: number;
  /** Standard output and standard error. */
  readonly text: string;
}

/** OpenSSL's command line as an outside judge, with a folder of its own for the files that it reads. */
export class Openssl {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'fleetroot-line-'));

  /** Writes a file for OpenSSL to read and returns its path. */
  file(name: string, contents: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, contents, { mode: 0o600 });
    return path;
  }

  run(...parameters: string[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      execFile('openssl', parameters, { cwd: this.folder, timeout: 30_000, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== 'number') reject(new Error(`openssl ${parameters[0]} does not run: ${error.message}`));
        else resolve({ status: error === null ? 0 : Number(error.code), text: `${stdout}${stderr}` });
      });
    });
  }

  /** Runs it and returns what it said. @throws Error that repeats it, where the exit status is not 0 */
  async must(...parameters: string[]): Promise<string> {
    const { status, text } = await this.run(...parameters);
    if (status !== 0) throw new Error(`openssl ${parameters.slice(0, 2).join(' ')} ended with status ${status}: ${text.trim().replaceAll(/\s+/g, ' ')}`);
    return text;
  }

  /** Paths of certificates that `openssl verify` finds good against `anchors`; throws at the first that it does not. */
  async verify(anchors: string, certificates: readonly string[]): Promise<number> {
    const text = await this.must('verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', anchors, ...certificates);
    const good = text.split('\n').filter((line) => line.endsWith(': OK')).length;
    if (good !== certificates.length) throw new Error(`openssl verify called ${good} of ${certificates.length} certificates good`);
    return good;
  }

  /** Whether `openssl verify` refuses the certificate as revoked by the CRL. Any other refusal is thrown. */
  async revokedByCrl(anchors: string, crl: string, certificate: string): Promise<boolean> {
    const { status, text } = await this.run('verify', '-crl_check', '-CAfile', anchors, '-CRLfile', crl, certificate);
    if (status === 0) return false;
    if (text.includes('certificate revoked')) return true;
    throw new Error(`openssl verify -crl_check says: ${text.trim().replaceAll(/\s+/g, ' ')}`);
  }

  /** What the responder says of the certificate, its signature checked by OpenSSL. */
  async ocsp(anchors: string, issuer: string, certificate: string, url: string): Promise<string> {
    const text = await this.must('ocsp', '-CAfile', anchors, '-issuer', issuer, '-cert', certificate, '-url', url);
    if (!text.includes('Response verify OK')) throw new Error(`openssl ocsp could not verify the answer: ${text.trim().replaceAll(/\s+/g, ' ')}`);
    const status = /: (good|revoked|unknown)$/m.exec(text)?.[1];
    if (status === undefined) throw new Error(`openssl ocsp says: ${text.trim().replaceAll(/\s+/g, ' ')}`);
    return status;
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
