/**
 * What a reader does not see, or cannot tell from something else: controls, marks of direction, fillers and selectors,
 * halves of characters, what Unicode has assigned to nobody, and any space but the plain one, singly.
 */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}|(?<= ) /gu;

/** One line that says what it shows. */
export const isVisibleLine = (text: string): boolean => text.length > 0 && text.trim() === text && text.search(UNSEEN) === -1;

/** Text from elsewhere as part of a line: what cannot be seen in it stands as `\u{...}`. */
export const visible = (text: string): string => text.replace(UNSEEN, (unseen) => `\\u{${unseen.codePointAt(0)?.toString(16) ?? ''}}`);

/** Whether two names are of one person. They come from keyboards: `Alice` is `alice`, however the letters are encoded. */
export const isSameName = (one: string, other: string): boolean => plain(one) === plain(other);

const plain = (name: string): string => name.normalize('NFKC').toLowerCase().replace(/\s+/gu, ' ').trim();
