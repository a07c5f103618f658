// The two data channels of a call: "chat" carries texts, "control" says who is
// there and what arrived.

import { Receipts } from "./receipts.js";

const version = 1;
const maxText = 16 << 10; // bytes of UTF-8
const maxControl = 4 << 10; // characters
const maxBuffered = 1 << 20; // bytes
const maxEarly = 32; // texts kept while it is open which channel is the chat
const helloTimeout = 2_000; // ms

const byteLength = (text) => new TextEncoder().encode(text).length;

// Channels are those of one RTCPeerConnection. It calls, from construction on,
//   on.admit()         before it opens: whether it may; if not, close has been called
//   on.open(receipts)  once, when texts can be sent; receipts: whether they are confirmed
//   on.text(text)      for each text of the other side
//   on.received(n)     when the other side has taken our first n texts
//   on.hangup(reason)  when the other side hangs up
//   on.closed()        when it closes a channel without a word
//   on.fault()         when it breaks the protocol
export class Channels {
  #on;
  #caller;
  #control = null;
  #chat = null;
  #other = null; // a channel of another label: the chat of a plain page
  #early = [];
  #timer = 0;
  #ready = false;
  #receipts;

  constructor(pc, caller, on) {
    this.#on = on;
    this.#caller = caller;
    this.#receipts = new Receipts((n) => this.#tell({ type: "received", n }));
    pc.ondatachannel = (event) => this.#take(event.channel);
    if (!caller) return;
    this.#take(pc.createDataChannel("control"));
    this.#take(pc.createDataChannel("chat"));
  }

  // send sends a text and returns its number, from 1. It throws a text for people.
  send(text) {
    if (!this.#ready) throw new Error("Not connected yet.");
    if (byteLength(text) > maxText) throw new Error("This message is too long: 16 KiB at most.");
    const channel = this.#other ?? this.#chat;
    if (channel.readyState !== "open") throw new Error("The connection was lost.");
    if (channel.bufferedAmount > maxBuffered) throw new Error("The connection is slow. Try again in a moment.");
    channel.send(text);
    return this.#receipts.sent();
  }

  // close says why, and calls closed when that has left, a second later at most.
  close(reason, closed) {
    clearTimeout(this.#timer);
    this.#receipts.close();
    this.#on = { admit: () => false, open() {}, text() {}, received() {}, hangup() {}, closed() {}, fault() {} };
    if (reason === undefined || this.#control?.readyState !== "open") return closed();
    const timer = setTimeout(closed, 1_000);
    this.#control.onclose = () => {
      clearTimeout(timer);
      closed();
    };
    this.#tell({ type: "hangup", reason });
    this.#control.close(); // after what is queued (RFC 8831, section 6.7)
  }

  #take(channel) {
    if (channel.label === "control" && !this.#control) return this.#takeControl(channel);
    if (channel.label === "chat" && !this.#chat) return this.#takeChat(channel);
    if (channel.label !== "control" && channel.label !== "chat" && !this.#other && !this.#ready) {
      return this.#takeOther(channel);
    }
    channel.close();
  }

  #takeControl(channel) {
    this.#control = channel;
    this.#watch(channel);
    channel.onmessage = (event) => this.#guard(() => this.#onControl(event.data));
    if (this.#caller) channel.onopen = () => this.#greet();
  }

  // watch ends the call with the channel: nothing that is sent from then on arrives,
  // even though the connection itself may stay.
  #watch(channel) {
    channel.onclose = () => this.#on.closed();
  }

  // greet sends our hello, the first message on control. The caller sends it when control
  // opens. The callee answers once the call may open, so that no caller takes a refused
  // call for a connected one. Of a channel that came from the other side, Chromium can
  // say "open" too early, lose what is sent, and say it once more.
  #greet() {
    this.#tell({ type: "hello", received: this.#receipts.taken, version });
  }

  #takeChat(channel) {
    this.#chat = channel;
    this.#watch(channel);
    channel.onmessage = (event) => this.#guard(() => {
      // Our hello may still be on its way to the caller, but never to the callee.
      if (!this.#caller && !this.#ready) throw new Error("text before hello");
      this.#onText(event.data);
    });
    channel.onopen = () => this.#open(); // may come twice, see greet
    this.#open();
  }

  // takeOther waits for the other side's hello: without one this is the chat.
  #takeOther(channel) {
    this.#other = channel;
    this.#watch(channel);
    channel.onmessage = (event) => this.#guard(() => {
      if (this.#early.push(event.data) > maxEarly) throw new Error("too many texts before the chat");
    });
    this.#timer = setTimeout(() => this.#guard(() => this.#fallBack()), helloTimeout);
  }

  #fallBack() {
    if (!this.#on.admit()) return;
    this.#other.onmessage = (event) => this.#guard(() => this.#onText(event.data));
    this.#receipts.close();
    this.#ready = true;
    this.#on.open(false);
    for (const text of this.#early.splice(0)) this.#onText(text);
  }

  #onHello(message) {
    if (this.#receipts.greeted) throw new Error("second hello");
    if (!Number.isInteger(message.version) || message.version < 1) throw new Error("hello without a version");
    if (this.#ready) return; // too late: the chat is on the other channel
    this.#receipts.hello(message.received);
    clearTimeout(this.#timer);
    if (this.#other) {
      this.#other.onclose = null;
      this.#other.close();
      this.#other = null;
    }
    this.#open();
  }

  #open() {
    if (this.#ready || !this.#receipts.greeted || this.#chat?.readyState !== "open" || !this.#on.admit()) return;
    this.#ready = true;
    if (!this.#caller) {
      this.#greet();
      this.#tell({ type: "connected" }); // nobody is asked: every call is accepted
    }
    this.#on.open(true);
  }

  #onControl(data) {
    if (typeof data !== "string" || data.length > maxControl) throw new Error("control message of a wrong form");
    const message = JSON.parse(data);
    if (message?.type === "hello") return this.#onHello(message);
    const early = !this.#receipts.greeted && !this.#ready;
    if (early && message.type !== "hangup") throw new Error("control message before hello");
    if (message.type === "received") this.#on.received(this.#receipts.confirm(message.n));
    if (message.type === "hangup") this.#on.hangup(String(message.reason ?? ""));
  }

  #onText(data) {
    if (typeof data !== "string" || data.length > maxText || byteLength(data) > maxText) {
      throw new Error("text of a wrong form");
    }
    this.#on.text(data);
    this.#receipts.took();
  }

  #tell(message) {
    if (this.#control?.readyState === "open") this.#control.send(JSON.stringify(message));
  }

  // guard ends the call when the other side sends what the protocol has no place for.
  #guard(handle) {
    try {
      handle();
    } catch (error) {
      console.warn("sigctl:", error.message);
      this.#on.fault();
    }
  }
}
