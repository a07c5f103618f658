// Who is here.

import { validName } from "./names.js";

const maxPeople = 500;

export class Roster {
  #me;
  #show;
  #names = new Set();
  #total = 0;

  // show gets the names of the others, sorted and bounded, and how many there are.
  constructor(me, show) {
    this.#me = me;
    this.#show = show;
  }

  // list takes the server's list.
  list({ peers, total }) {
    const names = (Array.isArray(peers) ? peers : []).slice(0, maxPeople).map((peer) => peer?.name);
    this.#names = new Set(names.filter((name) => validName(name) && name !== this.#me));
    this.#total = Math.max(Number.isInteger(total) ? total : 0, this.#names.size);
    this.#tell();
  }

  join(name) {
    if (name === this.#me || this.#names.has(name)) return;
    this.#total++;
    if (this.#names.size < maxPeople) this.#names.add(name);
    this.#tell();
  }

  leave(name) {
    if (name === this.#me) return;
    this.#names.delete(name);
    this.#total = Math.max(this.#total - 1, this.#names.size);
    this.#tell();
  }

  #tell() {
    this.#show([...this.#names].sort((a, b) => a.localeCompare(b)), this.#total);
  }
}
