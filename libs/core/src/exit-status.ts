/**
 * Exit status of a process that must not be started again as it is: EX_NOPERM of sysexits.h. An HSM has refused the PIN;
 * each start would be one more try at it, and a few lock the token. Who supervises (`fleetroot up`, systemd's
 * RestartPreventExitStatus) waits for a person.
 */
export const NEVER_AGAIN = 77;
