// ICE candidates on their way out and in (RFC 8838, trickle ICE).

const batchDelay = 20; // ms
const maxBatch = 32;
const maxPerCall = 256; // each way

// Outgoing batches our candidates. It holds them until release says how the other
// side takes them.
export class Outgoing {
  #send;
  #waiting = [];
  #count = 0;
  #released = false;
  #plain = false;
  #timer = 0;

  constructor(send) {
    this.#send = send;
  }

  // add takes a candidate; null ends them.
  add(candidate) {
    if (++this.#count > maxPerCall) return;
    this.#waiting.push(candidate && candidate.toJSON());
    if (this.#released) this.#timer ||= setTimeout(() => this.#flush(), batchDelay);
  }

  // release lets the candidates go, one by one and without the end if the other
  // side speaks the plain form of the protocol.
  release(plain) {
    this.#released = true;
    this.#plain = plain;
    this.#flush();
  }

  close() {
    clearTimeout(this.#timer);
    this.#send = () => {};
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const all = this.#waiting.splice(0);
    if (this.#plain) {
      for (const candidate of all) if (candidate) this.#send({ type: "candidate", candidate });
      return;
    }
    for (let i = 0; i < all.length; i += maxBatch) {
      this.#send({ type: "candidates", candidates: all.slice(i, i + maxBatch) });
    }
  }
}

// Incoming hands the other side's candidates to the connection, and keeps those
// that come before its description.
export class Incoming {
  #pc;
  #waiting = [];
  #count = 0;
  #open = false;

  constructor(pc) {
    this.#pc = pc;
  }

  add(candidate) {
    if (++this.#count > maxPerCall) return;
    if (this.#open) this.#apply(candidate);
    else this.#waiting.push(candidate);
  }

  // open is called once the remote description is set.
  open() {
    this.#open = true;
    for (const candidate of this.#waiting.splice(0)) this.#apply(candidate);
  }

  // A candidate that the browser cannot use (another transport, say) is no fault.
  #apply(candidate) {
    this.#pc.addIceCandidate(candidate?.candidate ? candidate : null).catch(() => {});
  }
}
