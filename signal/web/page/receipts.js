// Receipts count the texts of a call, per direction, so that each side knows what
// the other has taken.

const maxDelay = 50; // ms
const maxUnconfirmed = 32;

export class Receipts {
  #tell;
  #sent = 0; // texts of ours
  #confirmed = 0; // of them, those the other side has taken
  #told = 0; // texts of theirs that we confirmed
  #timer = 0;

  taken = 0; // texts of theirs
  greeted = false; // whether their hello came

  // tell is called with the number of their texts that we have taken.
  constructor(tell) {
    this.#tell = tell;
  }

  // sent counts a text of ours and returns its number.
  sent() {
    return ++this.#sent;
  }

  // hello notes how much the other side has, as its first message says.
  hello(received) {
    this.confirm(received);
    this.greeted = true;
  }

  // confirm checks and returns how many of our texts the other side has taken. It
  // throws on one that was never sent, and on a count that goes back.
  confirm(n) {
    if (!Number.isInteger(n) || n < this.#confirmed || n > this.#sent) {
      throw new Error(`received ${n} of ${this.#sent} sent, ${this.#confirmed} of them confirmed before`);
    }
    this.#confirmed = n;
    return n;
  }

  // took counts a text of theirs, and confirms it soon.
  took() {
    this.taken++;
    if (!this.#tell) return;
    if (this.taken - this.#told >= maxUnconfirmed) this.#flush();
    else this.#timer ||= setTimeout(() => this.#flush(), maxDelay);
  }

  // close confirms what was taken, and no more.
  close() {
    if (this.#timer) this.#flush();
    this.#tell = null;
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#told = this.taken;
    this.#tell(this.taken);
  }
}
