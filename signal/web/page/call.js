// A call: one RTCPeerConnection, its negotiation and its channels.

import { Channels } from "./channels.js";
import { concealAll, Incoming, Outgoing } from "./candidates.js";
import { checkDataOnly, checkPermitted, fingerprintOf, NotPermitted } from "./description.js";
import { pathOf } from "./path.js";
import { safetyCode } from "./safety.js";

const connectTimeout = 30_000; // ms
const pathInterval = 2_000; // ms
const maxTasks = 64;

// Call is one call with peer. id is "" if the caller gave none; relayOnly: all goes
// through a relay. It calls
//   on.admit()         before it opens: whether it may; if not, it has been ended
//   on.send(message)   to send a signaling message about this call
//   on.state(state)    "connecting", "open" or "interrupted"
//   on.receipts(yes)   when it opens: whether texts are confirmed
//   on.path(path)      "direct" or "relayed", as it changes
//   on.text(text)      for each text of the other side
//   on.received(n)     when the other side has taken our first n texts
//   on.end(reason, byThem)  once, see endText
export class Call {
  #pc;
  #relayOnly;
  #on;
  #channels;
  #incoming;
  #outgoing;
  #tasks = Promise.resolve(); // negotiation steps, one after the other
  #queued = 0;
  #timer;
  #pathTimer = 0;
  #path = "";
  #answered = false;
  #plain = false; // the other side speaks the plain form: no call ids

  connected = false; // whether texts can be, or could be, sent
  ended = false;

  constructor({ peer, id, caller, iceServers, relayOnly, on }) {
    Object.assign(this, { peer, id, caller });
    this.#on = on;
    this.#pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: relayOnly ? "relay" : "all" });
    this.#incoming = new Incoming(this.#pc);
    this.#relayOnly = relayOnly;
    this.#outgoing = new Outgoing(relayOnly, (message) => this.#send(message));
    this.#pc.onicecandidate = (event) => this.#outgoing.add(event.candidate);
    this.#pc.onconnectionstatechange = () => this.#onConnection();
    this.#channels = new Channels(this.#pc, caller, {
      admit: () => on.admit(),
      open: (receipts) => this.#onOpen(receipts),
      text: (text) => on.text(text),
      received: (n) => on.received(n),
      hangup: (reason) => this.end(reason, true),
      closed: () => this.#onClosed(),
      fault: () => this.leave("protocol"),
    });
    this.#timer = setTimeout(() => this.leave("ice_timeout"), connectTimeout);
  }

  // offering tells whether our first offer is unanswered.
  get offering() {
    return this.caller && !this.#answered;
  }

  // owns tells whether a signaling message is about this call. A plain page
  // answers and hangs up without the id.
  owns({ name, call = "", type }) {
    if (name !== this.peer) return false;
    if (call === this.id) return true;
    return call === "" && (this.#plain || this.offering || type === "leave");
  }

  // start makes the first offer.
  start() {
    this.#run(() => this.#offer());
  }

  // receive takes a signaling message that this call owns.
  receive(message) {
    switch (message.type) {
      case "offer": return this.#run(() => this.#onOffer(message));
      case "answer": return this.#run(() => this.#onAnswer(message));
      case "candidate": return this.#incoming.add(message.candidate);
      case "candidates": return message.candidates?.forEach?.((c) => this.#incoming.add(c));
      case "renegotiate": return this.#run(() => this.#onRenegotiate());
      case "reject": return this.end(message.reason, true);
      case "leave": return this.end(message.reason, true);
    }
  }

  // sendText sends a text and returns its number. It throws a text for people.
  sendText(text) {
    return this.#channels.send(text);
  }

  // safetyCode resolves with the code of this call, once it is connected.
  safetyCode() {
    const { localDescription, remoteDescription } = this.#pc;
    return safetyCode(fingerprintOf(localDescription.sdp), fingerprintOf(remoteDescription.sdp), this.id);
  }

  // leave ends the call from this side: over signaling, and over the call itself.
  leave(reason) {
    if (this.ended) return;
    this.#send({ type: "leave", reason });
    this.drop(reason);
    this.#on.end(reason, false);
  }

  // end ends the call because the other side did, or cannot be reached.
  end(reason, byThem) {
    if (this.ended) return;
    this.drop();
    this.#on.end(reason, byThem);
  }

  // drop closes everything without a word over signaling; reason, if given, goes
  // out on the control channel.
  drop(reason) {
    this.ended = true;
    clearTimeout(this.#timer);
    clearInterval(this.#pathTimer);
    this.#outgoing.close();
    this.#channels.close(reason, () => this.#pc.close());
  }

  async #offer() {
    await this.#pc.setLocalDescription(await this.#pc.createOffer());
    this.#send({ type: "offer", offer: this.#described() });
  }

  async #onOffer({ offer, permissions }) {
    if (this.caller) return; // the caller makes all offers
    await this.#describe("offer", offer, permissions);
    await this.#pc.setLocalDescription(await this.#pc.createAnswer());
    this.#plain = this.id === "";
    this.#send({ type: "answer", answer: this.#described() });
    this.#outgoing.release(this.#plain);
  }

  async #onAnswer({ answer, permissions, call = "" }) {
    if (this.#pc.signalingState !== "have-local-offer") return;
    this.#plain ||= call === "";
    this.#answered = true;
    await this.#describe("answer", answer, permissions);
    this.#outgoing.release(this.#plain);
  }

  // described returns our description as the other side gets it.
  #described() {
    const { type, sdp } = this.#pc.localDescription;
    return { type, sdp: this.#relayOnly ? concealAll(sdp) : sdp };
  }

  async #onRenegotiate() {
    if (this.caller && this.#answered && this.#pc.signalingState === "stable") await this.#offer();
  }

  // describe applies the other side's description, if they have its permissions.
  // Later ones must keep the certificate: the safety code may have been compared.
  async #describe(type, description, permissions) {
    checkPermitted(description, permissions);
    const { sdp } = description;
    checkDataOnly(sdp);
    const fingerprint = fingerprintOf(sdp);
    const before = this.#pc.remoteDescription;
    if (before && fingerprintOf(before.sdp) !== fingerprint) throw new Error("description with another certificate");
    await this.#incoming.describe(type, sdp);
  }

  // run queues a step. A step that fails ends the call.
  #run(step) {
    if (++this.#queued > maxTasks) return this.leave("protocol");
    this.#tasks = this.#tasks.then(async () => {
      this.#queued--;
      if (this.ended) return;
      try {
        await step();
      } catch (error) {
        console.warn("sigctl:", error.message);
        this.leave(error instanceof NotPermitted ? "unsupported" : "failed");
      }
    });
  }

  #send(message) {
    const call = this.#plain || this.id === "" ? {} : { call: this.id };
    this.#on.send({ ...message, name: this.peer, ...call });
  }

  #onOpen(receipts) {
    clearTimeout(this.#timer);
    this.connected = true;
    this.#on.receipts(receipts);
    this.#on.state("open");
    this.#pathTimer = setInterval(() => this.#readPath(), pathInterval);
    this.#readPath();
  }

  // onClosed ends a call whose other side has closed a channel, and tells it so: its
  // connection may still be there.
  #onClosed() {
    if (this.ended) return;
    this.#send({ type: "leave", reason: "lost" });
    this.end("hangup", true);
  }

  #onConnection() {
    if (this.ended) return;
    const state = this.#pc.connectionState;
    if (state === "failed") this.leave("lost");
    if (!this.connected) return;
    if (state === "disconnected") this.#on.state("interrupted");
    if (state === "connected") this.#on.state("open");
  }

  async #readPath() {
    const path = pathOf(await this.#pc.getStats());
    if (this.ended || !path || path === this.#path) return;
    this.#path = path;
    this.#on.path(path);
  }
}
