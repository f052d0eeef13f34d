import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readConfig, type SettingName, settings } from '@fleetroot/config';
import { describe, expect, it } from 'vitest';

const FOLDER = fileURLToPath(new URL('../../../hsm-config/', import.meta.url));
const text = (file: string): string => readFileSync(FOLDER + file, 'utf8');
const pages = readdirSync(FOLDER).filter((file) => file.endsWith('.md') && file !== 'README.md');

const SECTIONS = [
  'Library and configuration', 'Tokens and labels', 'Login', 'Keys', 'Mechanisms', 'Sessions and load',
  'Failures and high availability', 'Backup', 'Settings', 'Not found out', 'Sources',
];
/** What every page has a line on. */
const MECHANISMS = ['CKM_ECDSA', 'CKM_EC_KEY_PAIR_GEN', 'CKM_EDDSA', 'CKM_RSA_PKCS', 'CKM_RSA_PKCS_PSS', 'CKM_RSA_PKCS_KEY_PAIR_GEN'];
/** What every list of settings has. */
const ASKED: readonly SettingName[] = [
  'hsmModule', 'caTokenLabel', 'caTokenPin', 'hsmSessionCopies', 'hsmSessions', 'hsmDeadlineMs', 'hsmPatienceMs', 'hsmProbeSeconds',
];

const section = (page: string, title: string): string => page.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? '';

/** The variables of the page's list of settings; those that begin otherwise are the vendor's. */
function listed(page: string): Record<string, string> {
  const [, block = ''] = /```sh\n([\s\S]*?)```/.exec(section(page, 'Settings')) ?? [];
  return Object.fromEntries(block.trim().split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)));
}

const nameOf = (variable: string): SettingName | undefined =>
  (Object.keys(settings) as SettingName[]).find((name) => {
    const { variable: known, type } = settings[name];
    return variable === (type.startsWith('secret') ? `${known}_FILE` : known);
  });

describe('the pages of HSMs', () => {
  it('are those that the README compares', () => {
    const [comparison = ''] = text('README.md').split('## Before');
    expect([...comparison.matchAll(/\[[^\]]+\]\(([a-z0-9]+\.md)\)/g)].map(([, file]) => file).sort()).toEqual(pages.toSorted());
  });

  describe.each(pages)('%s', (file) => {
    const page = text(file);

    it('has every section, in order', () => {
      expect([...page.matchAll(/^## (.+)$/gm)].map(([, title]) => title)).toEqual(SECTIONS);
    });

    it('says at its top whether it was run', () => {
      const [, state] = /^# .+\n\n\*\*(Run here|Not run here)\*\*/.exec(page) ?? [];
      expect(state).toBe(file === 'softhsm.md' ? 'Run here' : 'Not run here');
    });

    it('has a line on each mechanism', () => {
      const table = section(page, 'Mechanisms');
      expect(MECHANISMS.filter((name) => !new RegExp(`\\b${name}\\b`).test(table))).toEqual([]);
    });

    it('lists settings that exist, with values that are taken', () => {
      const environment = listed(page);
      const names = Object.keys(environment).filter((variable) => variable.startsWith('FLEETROOT_')).map((variable) => nameOf(variable) ?? variable);
      expect(names).toEqual(expect.arrayContaining([...ASKED]));
      expect(names.filter((name) => !(name in settings))).toEqual([]);
      const plain = (names as SettingName[]).filter((name) => settings[name].type !== 'secret');
      expect(() => readConfig(plain, environment)).not.toThrow();
    });

    it('gives each source that it names, and names each source that it gives', () => {
      const [body = '', sources = ''] = page.split('\n## Sources\n');
      const given = [...sources.matchAll(/^(\d+)\. /gm)].map(([, n]) => Number(n));
      const named = new Set([...body.matchAll(/\[(\d+)\]/g)].map(([, n]) => Number(n)));
      expect(given).toEqual(given.map((_, i) => i + 1));
      expect([...named].toSorted((a, b) => a - b)).toEqual(given);
    });
  });
});
