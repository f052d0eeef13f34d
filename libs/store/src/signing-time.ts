import { CLOCKS_WITHIN_MS, PkiError } from '@fleetroot/core';

/**
 * @throws PkiError `clock.skew` where `signedAt` is further than the bound from the database's clock, or further behind
 *   the CA's last signed time. Two processes within the bound may sign in either order, hence the bound there as well.
 */
export function requireSaneTime(signedAt: Date, databaseNow: Date, lastSignedAt: Date | null): void {
  const ahead = signedAt.getTime() - databaseNow.getTime();
  if (Math.abs(ahead) > CLOCKS_WITHIN_MS) {
    throw new PkiError('clock.skew', `the clock of this process is ${Math.abs(Math.round(ahead / 1000))} s ${ahead > 0 ? 'ahead of' : 'behind'} the database's: set the clocks right`, {
      data: { milliseconds: Math.round(ahead) },
    });
  }
  if (lastSignedAt !== null && signedAt.getTime() < lastSignedAt.getTime() - CLOCKS_WITHIN_MS) {
    throw new PkiError('clock.skew', `the clock is behind the time this CA last signed for (${lastSignedAt.toISOString()}): set it right`);
  }
}

/** Whether `signedAt` is worth a write of the CA's row: to the second is enough, and keeps issuers out of each other's way. */
export function advances(signedAt: Date, lastSignedAt: Date | null): boolean {
  return lastSignedAt === null || signedAt.getTime() >= lastSignedAt.getTime() + 1000;
}
