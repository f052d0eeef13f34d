const AT_FIRST = 1 << 18;

/** Numbers in one piece of memory, added at no cost but when it is full: then it is made twice as large. */
export class Latencies {
  #values: Float64Array;
  #count = 0;

  /** Room for so many at first. */
  constructor(room = AT_FIRST) {
    this.#values = new Float64Array(room);
  }

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#count * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = value;
  }

  /** A copy, ascending. */
  sorted(): Float64Array {
    return this.#values.slice(0, this.#count).sort();
  }
}
