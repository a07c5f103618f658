// How fast messages may go: a rate and a burst (a token bucket), as the server
// counts them.

export class Pace {
  #perSecond;
  #burst;
  #level;
  #at = performance.now();

  constructor(perSecond, burst) {
    this.#perSecond = perSecond;
    this.#burst = this.#level = burst;
  }

  // take returns in how many ms n may go: 0 is now. If that is longer than
  // patience, it takes nothing and returns Infinity.
  take(n, patience) {
    this.#refill();
    const wait = Math.max(0, (n - this.#level) / this.#perSecond * 1000);
    if (wait > patience) return Infinity;
    this.#level -= n;
    return wait;
  }

  // hold makes n wait for ms: the server has said so.
  hold(n, ms) {
    this.#refill();
    this.#level = Math.min(this.#level, n - ms / 1000 * this.#perSecond);
  }

  #refill() {
    const now = performance.now();
    this.#level = Math.min(this.#burst, this.#level + (now - this.#at) / 1000 * this.#perSecond);
    this.#at = now;
  }
}
