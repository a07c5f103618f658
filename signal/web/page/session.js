// A session: one person, signed in, the others who are here, and the one call.

import { Call } from "./call.js";
import { validName } from "./names.js";
import { Signaling } from "./signaling.js";
import { endText, errorText } from "./texts.js";

const maxPeople = 500;
const iceMargin = 60; // s for which ICE credentials must still be good

// Session calls
//   on.people(names, total)  when someone came or left; names is sorted and bounded
//   on.call(call)            when a call begins; incoming ones have call.caller false
//   on.state, on.receipts, on.path, on.text, on.received   see Call
//   on.ended(text)           when the call ended
//   on.notice(text)          when a call could not be begun or taken
//   on.lost(text, inCall)    when the connection to the server ended
export class Session {
  #signaling = new Signaling();
  #on;
  #people = new Set();
  #total = 0;
  #ice;
  #call = null;
  #inbox = Promise.resolve(); // messages are handled one after the other

  constructor(on) {
    this.#on = on;
  }

  // signIn resolves once signed in, and rejects with a text for people.
  async signIn(url, name, password) {
    try {
      await this.#signaling.connect(url);
      this.#signaling.onmessage = (message) => this.#enqueue(() => this.#receive(message));
      const reply = await this.#signaling.request({ type: "login", name, password });
      this.name = reply.name;
      this.#ice = reply;
      this.#listPeople(await this.#signaling.request({ type: "peers" }));
      this.#signaling.onclose = (text) => this.#lose(text);
    } catch (error) {
      this.#signaling.close();
      throw error;
    }
  }

  // signOut ends the call and the session.
  signOut() {
    this.hangUp();
    this.#signaling.close();
  }

  // call calls a person; nothing happens during another call.
  async call(peer) {
    await this.#enqueue(async () => {
      if (this.#inCall()) return;
      const id = newCallId();
      await this.#begin({ peer, id, caller: true });
      this.#call.start();
    });
  }

  hangUp() {
    if (this.#inCall()) this.#call.leave("hangup");
  }

  #inCall() {
    return this.#call !== null && !this.#call.ended;
  }

  #enqueue(handle) {
    this.#inbox = this.#inbox.then(handle).catch((error) => this.#on.notice(error.message));
    return this.#inbox;
  }

  #receive(message) {
    if (message.name !== undefined && !validName(message.name)) return;
    switch (message.type) {
      case "joined": return this.#join(message.name);
      case "left": return this.#leave(message.name);
      case "offer": return this.#onOffer(message);
      case "error": return this.#onError(message);
      default: if (this.#call?.owns(message) && !this.#call.ended) this.#call.receive(message);
    }
  }

  // onOffer answers a call, or renegotiates it. Of two calls that cross, the one
  // with the lesser id stays (Glare); one without an id never does.
  async #onOffer(message) {
    const { name, call: id = "" } = message;
    if (this.#inCall()) {
      const ours = this.#call;
      const crossing = ours.offering && ours.peer === name;
      if (!crossing && ours.owns(message)) return ours.receive(message);
      if (!crossing) return this.#signaling.send({ type: "reject", name, ...(id && { call: id }), reason: "busy" });
      if (id === "" || ours.id < id || (ours.id === id && this.name < name)) return;
      ours.drop();
    }
    await this.#begin({ peer: name, id, caller: false });
    this.#call.receive(message);
  }

  // An open call does not need the server: a late candidate may miss the other
  // side there without anything being wrong.
  #onError(message) {
    if (message.code !== "peer_offline" || !this.#call?.owns(message) || this.#call.connected) return;
    this.#refuse(this.#call, errorText(message));
  }

  async #begin({ peer, id, caller }) {
    const iceServers = await this.#iceServers();
    const call = new Call({ peer, id, caller, iceServers, on: {
      ...this.#on,
      send: (message) => this.#sendOf(call, message),
      end: (reason, byThem) => this.#on.ended(endText(reason, byThem, peer)),
    } });
    this.#call = call;
    this.#on.call(call);
  }

  // sendOf sends a message of a call. An offer or answer that the server refuses
  // ends it.
  #sendOf(call, message) {
    if (message.type !== "offer" && message.type !== "answer") return this.#signaling.send(message);
    this.#signaling.watch(message, (error) => this.#refuse(call, error.message));
  }

  #refuse(call, text) {
    if (call.ended) return;
    call.drop();
    this.#on.ended(text);
  }

  // iceServers fetches fresh ones when the credentials at hand end soon; if that
  // fails, the old ones may still do for a direct path.
  async #iceServers() {
    const { iceExpires } = this.#ice;
    if (iceExpires && iceExpires < Date.now() / 1000 + iceMargin) {
      this.#ice = await this.#signaling.request({ type: "ice" }, 3_000).catch(() => this.#ice);
    }
    return this.#ice.iceServers ?? [];
  }

  #listPeople({ peers, total }) {
    this.#people = new Set(peers.slice(0, maxPeople).map((p) => p.name).filter((name) => validName(name) && name !== this.name));
    this.#total = Math.max(total ?? 0, this.#people.size);
    this.#showPeople();
  }

  #join(name) {
    if (name === this.name || this.#people.has(name)) return;
    this.#total++;
    if (this.#people.size < maxPeople) this.#people.add(name);
    this.#showPeople();
  }

  #leave(name) {
    if (name === this.name) return;
    this.#people.delete(name);
    this.#total = Math.max(this.#total - 1, this.#people.size);
    this.#showPeople();
  }

  #showPeople() {
    this.#on.people([...this.#people].sort((a, b) => a.localeCompare(b)), this.#total);
  }

  // lose tells that the server is gone. A call that stands goes on without it.
  #lose(text) {
    if (this.#inCall() && !this.#call.connected) this.#call.end("server", false);
    this.#on.lost(text, this.#inCall());
  }
}

// newCallId returns 128 random bits in base64url.
function newCallId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
