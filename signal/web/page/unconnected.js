// Incoming calls that have not connected, and the people who make them.

import { Pace } from "./pace.js";

const maxCalls = 4; // unconnected at a time
const maxCallers = 256; // remembered

// Unconnected holds the incoming calls that have not connected. An offer costs its
// sender one message. It costs this page a connection, and messages of its own
// allowance at the server. So each caller has one such call, all callers have maxCalls
// of them, and a caller whose calls never connect has to slow down.
export class Unconnected {
  #calls = []; // the oldest first
  #callers = new Map(); // by name, those who called last at the end

  // of returns the call of a person, if there is one.
  of(peer) {
    return this.#calls.find((call) => call.peer === peer);
  }

  // owner returns the call that a signaling message is about, if there is one.
  owner(message) {
    return this.#calls.find((call) => call.owns(message));
  }

  // mayCall reports whether a call of peer may be answered. Ask once per call.
  mayCall(peer) {
    const caller = this.#caller(peer);
    return !caller.failed || caller.retries.take(1, 0) === 0;
  }

  // mayRefuse reports whether to tell peer that a call is refused. Ask once per call.
  mayRefuse(peer) {
    return this.#caller(peer).refusals.take(1, 0) === 0;
  }

  // add holds a call until it is removed. An older call of the same
  // person gives way. If there is no room, the oldest call of all does.
  add(call) {
    const older = this.of(call.peer) ?? (this.#calls.length < maxCalls ? null : this.#calls[0]);
    if (older) {
      this.failed(older);
      older.leave("busy");
    }
    this.#calls.push(call);
  }

  // connected removes a call that has connected.
  connected(call) {
    if (this.remove(call)) this.#caller(call.peer).failed = false;
  }

  // failed removes a call that has ended.
  failed(call) {
    if (this.remove(call)) this.#caller(call.peer).failed = true;
  }

  // clear removes all calls and returns them.
  clear() {
    return this.#calls.splice(0);
  }

  // remove removes a call and reports whether it was here.
  remove(call) {
    const i = this.#calls.indexOf(call);
    if (i >= 0) this.#calls.splice(i, 1);
    return i >= 0;
  }

  #caller(name) {
    const caller = this.#callers.get(name) ?? { failed: false, retries: new Pace(0.5, 3), refusals: new Pace(1, 5) };
    this.#callers.delete(name);
    this.#callers.set(name, caller);
    if (this.#callers.size > maxCallers) this.#callers.delete(this.#callers.keys().next().value);
    return caller;
  }
}
