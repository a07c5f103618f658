// A session: one person, signed in, the others who are here, and the one call.

import { Call } from "./call.js";
import { checkPermitted } from "./description.js";
import { validName } from "./names.js";
import { Outbox } from "./outbox.js";
import { Renewal } from "./renewal.js";
import { Roster } from "./roster.js";
import { Signaling } from "./signaling.js";
import { endText, expiredText } from "./texts.js";
import { Tokens } from "./tokens.js";

const iceMargin = 60; // s for which ICE credentials must still be good

// Session calls
//   on.people(names, total)  when someone came or left; names is sorted and bounded
//   on.permitted(chat)       at first, and when that changes: whether chatting is allowed
//   on.call(call)            when a call begins; incoming ones have call.caller false
//   on.state, on.receipts, on.path, on.text, on.received   see Call
//   on.ended(text)           when the call ended
//   on.notice(text)          when a call could not be begun or taken
//   on.lost(text, inCall)    when the connection to the server ended
export class Session {
  #signaling = new Signaling();
  #outbox = new Outbox(this.#signaling);
  #renewal = new Renewal(() => this.#renew(), (fault) => this.#on.notice(`Your session ends in a minute: ${fault}`));
  #tokens;
  #roster;
  #on;
  #ice;
  #relayOnly = false;
  #mayChat = true;
  #call = null;
  #inbox = Promise.resolve(); // messages are handled one after the other

  constructor(on) {
    this.#on = on;
  }

  // signIn resolves once signed in, and rejects with a text for people. A server
  // that gives no tokens gets the password itself.
  async signIn(url, name, password, room) {
    this.#tokens = new Tokens(name, password, room);
    try {
      const token = await this.#tokens.next();
      if (!token) this.#tokens.forget();
      await this.#signaling.connect(url);
      this.#signaling.onmessage = (message) => this.#enqueue(() => this.#receive(message));
      const proof = token ? { token } : { name, password, room };
      const reply = await this.#signaling.request({ type: "login", ...proof }, { room });
      this.#enter(reply, name, room);
      this.#roster.list(await this.#signaling.request({ type: "peers" }));
      this.#signaling.onclose = (text, code) => this.#lose(text, code);
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  // signOut ends the call and the session.
  signOut() {
    this.hangUp();
    this.#close();
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

  #close() {
    this.#renewal.stop();
    this.#tokens?.forget();
    this.#signaling.close();
  }

  // enter begins the session that a login's reply describes. Plain servers, which
  // have one room, say less.
  #enter(reply, name, room) {
    if ((reply.name ?? name) !== name || (reply.room ?? "lobby") !== room) {
      throw new Error(`The server did not let you into the room ${room} as ${name}.`);
    }
    this.name = name;
    this.room = room;
    this.#roster = new Roster(name, this.#on.people);
    this.#grant(reply);
  }

  // grant takes what a login or refresh gives. Without a word about permissions
  // everything is allowed: it is a server that has none.
  #grant({ permissions, iceServers, iceExpires, iceTransportPolicy }) {
    this.#ice = { iceServers, iceExpires };
    this.#relayOnly = Boolean(iceTransportPolicy);
    this.#mayChat = permissions === undefined || Array.isArray(permissions) && permissions.includes("data");
    this.#on.permitted(this.#mayChat);
  }

  async #renew() {
    const token = await this.#tokens.next();
    if (!token) throw new Error("The server gives no tokens.");
    this.#grant(await this.#signaling.request({ type: "refresh", token }));
  }

  #enqueue(handle) {
    this.#inbox = this.#inbox.then(handle).catch((error) => this.#on.notice(error.message));
    return this.#inbox;
  }

  #receive(message) {
    if (message.name !== undefined && !validName(message.name)) return;
    switch (message.type) {
      case "joined": return this.#roster.join(message.name);
      case "left": return this.#roster.leave(message.name);
      case "offer": return this.#onOffer(message);
      case "expiring": return void this.#renewal.start(message.expires); // messages do not wait for it
      case "error": return; // of what needed no answer
      default: if (this.#call?.owns(message) && !this.#call.ended) this.#call.receive(message);
    }
  }

  // onOffer answers a call, or renegotiates it. Of two calls that cross, the one
  // with the lesser id stays (Glare); one without an id never does.
  async #onOffer(message) {
    const { name, call: id = "" } = message;
    const ours = this.#inCall() ? this.#call : null;
    const crossing = ours?.offering && ours.peer === name;
    if (ours && !crossing && ours.owns(message)) return ours.receive(message);
    if (ours && !crossing) return this.#reject(message, "busy");
    if (!this.#mayTake(message)) return this.#reject(message, "unsupported");
    if (crossing && (id === "" || ours.id < id || (ours.id === id && this.name < name))) return;
    ours?.drop();
    await this.#begin({ peer: name, id, caller: false });
    this.#call.receive(message);
  }

  // mayTake tells whether we and the caller may have the call, or says why not.
  #mayTake({ name, offer, permissions }) {
    try {
      checkPermitted(offer, permissions);
    } catch {
      this.#on.notice(`A call was refused: ${name} asked for more than is allowed in this room.`);
      return false;
    }
    if (!this.#mayChat) this.#on.notice(`${name} called, but you are not allowed to chat in this room.`);
    return this.#mayChat;
  }

  #reject({ name, call }, reason) {
    this.#outbox.tell({ type: "reject", name, ...(call && { call }), reason });
  }

  async #begin({ peer, id, caller }) {
    const iceServers = await this.#iceServers();
    const call = new Call({ peer, id, caller, iceServers, relayOnly: this.#relayOnly, on: {
      ...this.#on,
      send: (message) => this.#sendOf(call, message),
      end: (reason, byThem) => this.#on.ended(endText(reason, byThem, peer)),
    } });
    this.#call = call;
    this.#on.call(call);
  }

  // sendOf sends a message of a call. An offer or answer that the server refuses
  // ends it. So do candidates for someone who is not here; but an open call does not
  // need the server, and a late candidate may miss the other side there.
  #sendOf(call, message) {
    const { type } = message;
    if (type === "leave") return this.#outbox.tell(message);
    const described = type === "offer" || type === "answer";
    this.#outbox.send(message, () => call.ended, (error) => {
      if (described || (error.code === "peer_offline" && !call.connected)) this.#refuse(call, error.message);
    });
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
      this.#ice = await this.#signaling.request({ type: "ice" }, { timeout: 3_000 }).catch(() => this.#ice);
    }
    return this.#ice.iceServers ?? [];
  }

  // lose tells that the server is gone. A call that stands goes on without it.
  #lose(text, code) {
    this.#close();
    if (this.#inCall() && !this.#call.connected) this.#call.end("server", false);
    this.#on.lost(code === 4503 ? expiredText(this.#renewal.fault) : text, this.#inCall());
  }
}

// newCallId returns 128 random bits in base64url.
function newCallId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
