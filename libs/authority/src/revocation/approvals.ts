import { PkiError } from '@fleetroot/core';

/** From so many targets on, so many approvals by others. */
export interface ApprovalRule {
  readonly targets: number;
  readonly approvals: number;
}

const PAIR = /^([1-9][0-9]{0,6})=([0-9]{1,2})$/;

/**
 * Rules from text like `1000=1,100000=2`; the text `0` is none.
 * @throws PkiError `config.invalid`
 */
export function readApprovalRules(text: string): readonly ApprovalRule[] {
  if (text.trim() === '0') return [];
  const rules = text.split(',').map((part) => {
    const [, targets, approvals] = PAIR.exec(part.trim()) ?? [];
    if (targets === undefined || approvals === undefined) {
      throw new PkiError('config.invalid', `FLEETROOT_REVOKE_APPROVALS: '${part.trim()}' is not TARGETS=APPROVALS, as in 1000=1,100000=2`);
    }
    return { targets: Number(targets), approvals: Number(approvals) };
  }).sort((a, b) => a.targets - b.targets);
  for (const [i, rule] of rules.entries()) {
    const before = rules[i - 1];
    if (before !== undefined && (before.targets === rule.targets || before.approvals > rule.approvals)) {
      throw new PkiError('config.invalid', `FLEETROOT_REVOKE_APPROVALS: ${rule.targets} targets must need at least as many approvals as ${before.targets}, and be named once`);
    }
  }
  return rules;
}

/** How many a revocation of so many needs. */
export const approvalsNeeded = (rules: readonly ApprovalRule[], targets: number): number =>
  rules.findLast((rule) => targets >= rule.targets)?.approvals ?? 0;
