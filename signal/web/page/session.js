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
import { Unconnected } from "./unconnected.js";

const iceMargin = 60; // s for which ICE credentials must still be good
const quietEnds = new Set(["busy", "hangup", "server"]); // of incoming calls, by us

// Session calls
//   on.people(names, total)  when someone came or left; names is sorted and bounded
//   on.permitted(chat)       at first, and when that changes: whether chatting is allowed
//   on.call(call)            when the person has a call: an incoming one (call.caller is
//                            false) once it has connected
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
  #call = null; // the one that the person has, or had last
  #unconnected = new Unconnected(); // incoming calls, not shown yet
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
    for (const call of this.#unconnected.clear()) call.leave("hangup");
    this.#close();
  }

  // call calls a person, or accepts the call that this person is just making. Nothing
  // happens during another call.
  async call(peer) {
    await this.#enqueue(async () => {
      if (this.#inCall()) return;
      const theirs = this.#unconnected.of(peer);
      if (theirs) return this.#accept(theirs);
      const call = await this.#create({ peer, id: newCallId(), caller: true });
      if (this.#inCall()) return call.drop(); // an incoming call has just connected
      this.#show(call);
      call.start();
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
      default: this.#owner(message)?.receive(message);
    }
  }

  // owner returns the call that a signaling message is about, if there is one.
  #owner(message) {
    return this.#inCall() && this.#call.owns(message) ? this.#call : this.#unconnected.owner(message);
  }

  // onOffer answers a call, or renegotiates it. Of two calls that cross, the one
  // with the lesser id stays (Glare); one without an id never does.
  async #onOffer(message) {
    const { name, call: id = "" } = message;
    const known = this.#owner(message);
    if (known && !known.offering) return known.receive(message);
    const ours = this.#inCall() ? this.#call : null;
    const crossing = ours?.offering && ours.peer === name;
    if (!crossing && (ours || !this.#unconnected.mayCall(name))) return this.#reject(message, "busy");
    if (!this.#mayTake(message)) return this.#reject(message, "unsupported");
    if (crossing && (id === "" || ours.id < id || (ours.id === id && this.name < name))) return;
    const call = await this.#create({ peer: name, id, caller: false });
    if (crossing && !ours.ended) {
      ours.drop();
      this.#show(call);
    } else {
      this.#unconnected.add(call);
    }
    call.receive(message);
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
    if (!this.#unconnected.mayRefuse(name)) return;
    this.#outbox.tell({ type: "reject", name, ...(call && { call }), reason });
  }

  async #create({ peer, id, caller }) {
    const iceServers = await this.#iceServers();
    const call = new Call({ peer, id, caller, iceServers, relayOnly: this.#relayOnly, on: {
      ...this.#on,
      send: (message) => this.#sendOf(call, message),
      admit: () => this.#admit(call),
      end: (reason, byThem) => this.#ended(call, endText(reason, byThem, peer), !byThem && quietEnds.has(reason)),
    } });
    return call;
  }

  // accept shows an incoming call before it has connected.
  #accept(call) {
    this.#unconnected.remove(call);
    this.#show(call);
  }

  // show makes a call the one that the person has.
  #show(call) {
    this.#call = call;
    this.#on.call(call);
  }

  // admit shows an incoming call that has connected, unless it is shown already. If the
  // person has another call, it ends this one and reports false.
  #admit(call) {
    if (call === this.#call) return true;
    this.#unconnected.connected(call);
    if (!this.#inCall()) {
      this.#show(call);
      return true;
    }
    call.leave("busy");
    return false;
  }

  // ended says why the person's call ended. Nobody has seen any other call: unless quiet,
  // it says that somebody called.
  #ended(call, text, quiet = false) {
    if (call === this.#call) return this.#on.ended(text);
    this.#unconnected.failed(call);
    if (!quiet) this.#on.notice(`${call.peer} called, but no connection could be made.`);
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
    this.#ended(call, text);
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
    for (const call of this.#unconnected.clear()) call.end("server", false);
    this.#on.lost(code === 4503 ? expiredText(this.#renewal.fault) : text, this.#inCall());
  }
}

// newCallId returns 128 random bits in base64url.
function newCallId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
