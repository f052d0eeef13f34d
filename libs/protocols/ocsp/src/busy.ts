/** More is asked than can be done: the client shall try later. Not worth a line of log for each. */
export class Busy extends Error {
  override readonly name = 'Busy';
}
