// What calls send over the server, no faster than the server takes it.

import { Pace } from "./pace.js";

const patience = 20_000; // ms that a message may wait
const maxTries = 5;
const maxRetryAfter = 20; // s
const passing = new Set(["rate_limited", "busy"]);

// Outbox belongs to one connection: the server counts per session. Ours are three
// quarters of its rates, since on the way messages draw closer together.
export class Outbox {
  #signaling;
  #candidates = new Pace(15, 75); // a batch counts as many
  #descriptions = new Pace(4, 15);
  #others = new Pace(7, 35);

  constructor(signaling) {
    this.#signaling = signaling;
  }

  // tell sends what can also get lost: of a flood of offers not all are rejected.
  // A leave always goes.
  tell(message) {
    const now = this.#others.take(1, 0) === 0;
    if (now || message.type === "leave") this.#signaling.send(message);
  }

  // send sends a description or candidates, as soon as their rate allows and unless
  // ended() says that nobody waits for them any more. What the server refuses for a
  // moment is sent again when it says; failed gets any other error.
  send(message, ended, failed, tries = 1) {
    const pace = message.type === "offer" || message.type === "answer" ? this.#descriptions : this.#candidates;
    const n = Math.max(1, message.candidates?.length ?? 1);
    const wait = pace.take(n, patience);
    if (wait === Infinity) return failed(new Error("Too much was sent at once."));
    const go = () => ended() || this.#signaling.watch(message, (error) => {
      if (!passing.has(error.code) || tries === maxTries) return failed(error);
      pace.hold(n, Math.min(error.retryAfter || 1, maxRetryAfter) * 1000);
      this.send(message, ended, failed, tries + 1);
    });
    if (wait === 0) go();
    else setTimeout(go, wait);
  }
}
