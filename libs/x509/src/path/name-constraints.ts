import { DerReader } from '../der/reader.ts';
import { contextTag, tag } from '../der/writer.ts';
import { comparableName } from './name-match.ts';
import { type ConstrainedName, type NameForm, nameForms, type Subtree } from './name-forms.ts';

/** What one path may ask for in comparisons; more is an attack on the validator. */
const MAX_COMPARISONS = 20_000;

/** The subtrees of one form that one CA names. */
interface Subtrees {
  readonly form: NameForm;
  readonly bases: readonly Subtree[];
}

/**
 * The name constraints of the CAs above a certificate (RFC 5280 section 4.2.1.10 and steps (b), (c) of section 6.1.3,
 * (g) of section 6.1.4). A name must lie in a permitted subtree of each CA that permits any of its form, and in no
 * excluded one. Forms without defined rules (otherName, registeredID and so on) are refused where they are constrained.
 */
export class NameConstraints {
  readonly #permitted: Subtrees[] = [];
  readonly #excluded: Subtrees[] = [];
  #comparisons = 0;

  /**
   * Adds those of one more CA.
   * @param value the extension's
   * @returns false where they cannot be processed: then the path is not valid
   * @throws PkiError `certificate.malformed` where they are not well-formed
   */
  add(value: Uint8Array): boolean {
    const input = new DerReader(value, 'certificate.malformed');
    const reader = input.enter(tag.sequence, 'nameConstraints');
    input.end('nameConstraints');
    const permitted = reader.enterOptional(contextTag(0, true), 'permittedSubtrees');
    const excluded = reader.enterOptional(contextTag(1, true), 'excludedSubtrees');
    reader.end('nameConstraints');
    // An empty sequence is forbidden (RFC 5280 section 4.2.1.10).
    if (permitted === undefined && excluded === undefined) return false;
    return (permitted === undefined || addSubtrees(permitted, this.#permitted))
      && (excluded === undefined || addSubtrees(excluded, this.#excluded));
  }

  /** Whether all these names of one certificate are allowed. */
  allow(names: readonly ConstrainedName[]): boolean {
    return names.every((name) => this.#allows(name));
  }

  #allows({ form, value }: ConstrainedName): boolean {
    const rule = nameForms[form];
    const permitted = this.#permitted.filter((list) => list.form === form);
    const excluded = this.#excluded.filter((list) => list.form === form);
    if (permitted.length === 0 && excluded.length === 0) return true;
    if (rule === undefined || !rule.isName(value)) return false;
    const matches = (base: Subtree, direction: 'permitted' | 'excluded'): boolean => rule.matches(value, base, direction);
    for (const { bases } of [...permitted, ...excluded]) this.#comparisons += bases.length;
    return this.#comparisons <= MAX_COMPARISONS
      && permitted.every(({ bases }) => bases.some((base) => matches(base, 'permitted')))
      && !excluded.some(({ bases }) => bases.some((base) => matches(base, 'excluded')));
  }
}

/** False where a subtree has a minimum, a maximum, or a base that its form does not know. */
function addSubtrees(reader: DerReader, lists: Subtrees[]): boolean {
  if (reader.atEnd) return false;
  const byForm = new Map<NameForm, Subtree[]>();
  while (!reader.atEnd) {
    const subtree = reader.enter(tag.sequence, 'generalSubtree');
    const { form, value } = readName(subtree);
    if (!subtree.atEnd || nameForms[form]?.isBase(value) === false) return false;
    const bases = byForm.get(form) ?? [];
    bases.push(value);
    byForm.set(form, bases);
  }
  for (const [form, bases] of byForm) lists.push({ form, bases });
  return true;
}

/** One GeneralName as constraints see it. */
export function readName(reader: DerReader): ConstrainedName {
  const found = reader.peek() ?? reader.fail('generalName', 'is missing');
  // Name is a CHOICE, and a tag around a CHOICE is always explicit.
  if (found === contextTag(4, true)) {
    const name = reader.enter(found, 'directoryName');
    const value = comparableName(name.element('directoryName', tag.sequence));
    name.end('directoryName');
    return { form: 4, value };
  }
  return { form: found & 0x1f, value: reader.value(found, 'generalName') };
}
