/**
 * Places where a process may die with something half done, each between two steps that are not one transaction. Named, so
 * that a test can have it die at exactly one of them.
 */
export const crashPoints = [
  'issuance.claimed', 'issuance.prepared', 'issuance.intent-recorded', 'issuance.signed', 'issuance.certified', 'issuance.stored',
  'batch.appended', 'batch.accepted', 'outbox.read', 'outbox.relayed',
  'crl.due', 'crl.reserved', 'crl.signed', 'crl.compared', 'crl.swapped', 'copy.written', 'copy.renamed', 'filter.reserved', 'filter.signed',
] as const;

export type CrashPoint = (typeof crashPoints)[number];

const ARMED = Symbol.for('fleetroot.crash-point');

/**
 * Nothing, unless a module that was loaded before the program (`node --import`) has put a function there: no setting, file
 * or request of the product can.
 */
export function crashPoint(name: CrashPoint): void {
  const armed = (globalThis as { [ARMED]?: (name: CrashPoint) => void })[ARMED];
  if (armed !== undefined) armed(name);
}
