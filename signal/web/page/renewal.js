// A session that is about to end is extended.

const notice = 60_000; // ms from the server's word to the end
const pause = 5_000; // ms between two attempts

// Attempts that the server refuses for these are made again.
const passing = new Set(["rate_limited", "busy", "internal"]);

export class Renewal {
  #renew;
  #failed;
  #ends = 0;
  #running = false;
  #timer = 0;

  fault = ""; // a text for people: why the last attempt failed

  // renew makes one attempt, and rejects with a text for people, which failed then
  // gets. An error with a code is a refusal.
  constructor(renew, failed) {
    this.#renew = renew;
    this.#failed = failed;
  }

  // start extends the session that ends at a time, Unix seconds. Each end is
  // answered once, one after the other.
  async start(ends) {
    if (!(ends > this.#ends)) return;
    this.#ends = ends;
    if (this.#running) return;
    this.#running = true;
    for (let done = 0; this.#running && done < this.#ends;) {
      done = this.#ends;
      await this.#extend();
    }
    this.#running = false;
  }

  // stop ends it for good.
  stop() {
    clearTimeout(this.#timer);
    this.#ends = Infinity;
    this.#running = false;
  }

  async #extend() {
    const until = performance.now() + notice;
    while (this.#running) {
      const wait = await this.#attempt();
      if (performance.now() + wait > until) return;
      await new Promise((done) => this.#timer = setTimeout(done, wait));
    }
  }

  // attempt returns after how many ms the next one may do better.
  async #attempt() {
    try {
      await this.#renew();
      this.fault = "";
      return Infinity;
    } catch (error) {
      if (!this.#running) return Infinity;
      this.fault = error.message;
      this.#failed(this.fault);
      if (error.code && !passing.has(error.code)) return Infinity;
      return Math.max(pause, (error.retryAfter || 0) * 1000);
    }
  }
}
