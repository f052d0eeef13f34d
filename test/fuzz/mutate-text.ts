import { MAX_INPUT } from './mutate-der.ts';
import type { Random } from './random.ts';

type TextChange = (text: string, random: Random, others: readonly string[], words: readonly string[]) => string;

const cut = (text: string, random: Random): [number, number] => {
  const at = random.below(text.length + 1);
  return [at, Math.min(text.length, at + random.below(60))];
};

const changes: readonly TextChange[] = [
  (text, random) => { const [from, to] = cut(text, random); return text.slice(0, from) + text.slice(to); },
  (text, random) => { const [from, to] = cut(text, random); return text.slice(0, to) + text.slice(from); },
  (text, random) => { const [from, to] = cut(text, random); return text.slice(0, to) + text.slice(from, to).repeat(1 << random.below(12)) + text.slice(to); },
  (text, random) => text.slice(0, random.below(text.length + 1)),
  (text, random, _, words) => { const [from, to] = cut(text, random); return text.slice(0, from) + random.pick(words) + text.slice(random.chance(2) ? from : to); },
  (text, random, _, words) => { const [from] = cut(text, random); return text.slice(0, from) + random.pick(words).repeat(1 << random.below(15)) + text.slice(from); },
  (text, random) => { const [from] = cut(text, random); return text.slice(0, from) + String.fromCharCode(random.chance(4) ? random.below(0x10000) : random.below(256)) + text.slice(from + 1); },
  (text, random, others) => { const other = random.pick(others); return text.slice(0, cut(text, random)[0]) + other.slice(random.below(other.length + 1)); },
  (text, random) => { const lines = text.split('\n'); const line = lines.splice(random.below(lines.length), 1); lines.splice(random.below(lines.length + 1), 0, ...line, ...(random.chance(2) ? line : [])); return lines.join('\n'); },
];

/** Another text from one of the corpus; `words` are what the language of the text is made of. */
export function mutateText(seed: string, others: readonly string[], words: readonly string[], random: Random): string {
  let text = seed;
  for (let times = 1 + random.below(4); times > 0; times--) text = random.pick(changes)(text, random, others, words).slice(0, MAX_INPUT);
  return text;
}
