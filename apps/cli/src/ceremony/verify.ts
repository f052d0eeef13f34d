import { ceremonyRecords, type VerifiedCeremonies, verifyCeremonies, visible } from '@fleetroot/authority';
import { isPkiError, PkiError } from '@fleetroot/core';

export interface VerifyOptions {
  readonly key: readonly string[];
  readonly transcript?: string;
  readonly json: boolean;
}

/** Prints the verdict on a folder of ceremonies. Returns whether everything holds. */
export function verify(folder: string, options: VerifyOptions, say: (line: string) => void): boolean {
  try {
    const verified = check(folder, options);
    if (options.json) say(JSON.stringify({ holds: true, ...facts(verified) }));
    else for (const line of describe(folder, verified)) say(line);
    return true;
  } catch (error) {
    if (!isPkiError(error) || (error.code !== 'ceremony.transcript-invalid' && error.code !== 'ceremony.invalid')) throw error;
    const { file } = error.data;
    if (options.json) say(JSON.stringify({ holds: false, file: file ?? null, what: error.message }));
    else say(`THE CEREMONIES OF ${folder} DO NOT HOLD: ${error.message}`);
    return false;
  }
}

function check(folder: string, { key, transcript }: VerifyOptions): VerifiedCeremonies {
  const verified = verifyCeremonies(ceremonyRecords(folder), {
    ...(key.length === 0 ? {} : { ceremonyKeys: key.map(sha256From) }), ...(transcript === undefined ? {} : { transcript: sha256From(transcript) }),
  });
  if (verified.transcripts.length === 0) throw new PkiError('ceremony.transcript-invalid', `${folder} holds no transcript: it is no folder of ceremonies, or they were taken away`);
  return verified;
}

/** As tools print it: with colons, in capitals. */
function sha256From(text: string): string {
  const hex = text.replaceAll(':', '').toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new PkiError('config.invalid', `${text} is no SHA-256: it has 64 hexadecimal digits`);
  return hex;
}

const facts = ({ transcripts, ceremonyKeys, files }: VerifiedCeremonies) => ({
  ceremonyKeys, files,
  transcripts: transcripts.map(({ file, sha256, facts: { title, by, began, ended, token, approvals, out } }) => ({
    file, sha256, title, by, began, ended, token, approvals: approvals.map(({ officer }) => officer), out: out.map((each) => each.file),
  })),
});

function describe(folder: string, { transcripts, ceremonyKeys, files }: VerifiedCeremonies): string[] {
  return [
    ...transcripts.flatMap(({ file, sha256, facts: { title, by, ended, token, approvals, approvalsRequired, out } }) => [
      `${file}: ${title}`,
      `  held by ${by}, ended ${ended}, token "${visible(token.label)}" (serial ${visible(token.serial)})`,
      `  ${approvalsRequired === 0 ? 'no approvals asked for' : `approved by ${approvals.map(({ officer }) => officer).join(', ')} (${approvalsRequired} asked for)`}`,
      `  made or taken in: ${out.map((each) => each.file).join(', ')}`,
      `  SHA-256 ${sha256}`,
    ]),
    '',
    `The ceremonies of ${folder} hold: ${count(transcripts.length, 'transcript')} and ${count(files, 'file')}; every hash, signature and approval was checked`,
    ...ceremonyKeys.map((key) => `Ceremony key, SHA-256: ${key}`),
    'Compare it with the paper of the ceremony, or give it: --key. The SHA-256 of the last transcript on that paper, given as',
    '--transcript, shows that none was taken away.',
  ];
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
