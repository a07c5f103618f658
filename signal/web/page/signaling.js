// The WebSocket to the signaling server.

import { closeText, errorText } from "./texts.js";

const connectTimeout = 10_000; // ms
const replyTimeout = 10_000; // ms
const maxPending = 64;
const maxWatched = 256;
const maxFrame = 64 << 10; // characters, which are at least as many bytes

// ServerError is an answer of the server that says no; its message is for people.
// room is the one that was asked for, if one was.
export class ServerError extends Error {
  constructor(message, room) {
    super(errorText(message, room));
    this.code = message.code;
    this.retryAfter = Number(message.retryAfter) || 0; // s
  }
}

// Signaling is one connection: it opens with connect, ends once, and stays ended.
export class Signaling {
  #socket;
  #pending = new Map(); // id -> {resolve, reject, timer, room}
  #watched = new Map(); // id -> what is called with an error
  #nextId = 1;
  #ended = false;

  // onmessage gets each message that is not a reply; onclose a text for people and
  // the close code.
  onmessage = () => {};
  onclose = () => {};

  // connect resolves when the connection is open, and rejects with a text.
  connect(url) {
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = (event) => this.#receive(event.data);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#socket.close(), connectTimeout);
      this.#socket.onopen = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#socket.onclose = (event) => {
        clearTimeout(timer);
        reject(new Error("The server cannot be reached. Check your connection and try again."));
        this.#end(closeText(event.code), event.code);
      };
    });
  }

  // send sends a message that has no reply.
  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  // request resolves with the server's reply, or rejects with a text for people. room
  // is the one that is asked for, if one is.
  request(message, { timeout = replyTimeout, room } = {}) {
    if (this.#ended || this.#pending.size >= maxPending) {
      return Promise.reject(new Error("The server does not answer."));
    }
    const id = String(this.#nextId++);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id)?.reject(new Error("The server did not answer in time.")), timeout);
      this.#pending.set(id, { resolve, reject, timer, room });
      this.send({ ...message, id });
    });
  }

  // watch sends a message whose only reply can be an error, and calls failed with it,
  // unless many more were sent meanwhile.
  watch(message, failed) {
    const id = String(this.#nextId++);
    if (this.#watched.size >= maxWatched) this.#watched.delete(this.#watched.keys().next().value);
    this.#watched.set(id, failed);
    this.send({ ...message, id });
  }

  // close says goodbye; onclose is not called for it.
  close() {
    this.#ended = true;
    this.#socket?.close(1000);
    this.#rejectPending("Signed out.");
  }

  #receive(data) {
    let message;
    if (data.length > maxFrame) return;
    try {
      message = JSON.parse(data);
    } catch {
      return; // not ours: the server speaks JSON objects only
    }
    if (this.#ended || typeof message?.type !== "string") return;
    const pending = this.#settle(message.ref);
    if (!pending) return this.#watchedFailed(message) || this.onmessage(message);
    if (message.type === "error" || message.success === false) pending.reject(new ServerError(message, pending.room));
    else pending.resolve(message);
  }

  #watchedFailed(message) {
    const failed = message.type === "error" && this.#watched.get(message.ref);
    if (!failed) return false;
    this.#watched.delete(message.ref);
    failed(new ServerError(message));
    return true;
  }

  #settle(id) {
    const pending = this.#pending.get(id);
    if (!pending) return undefined;
    clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }

  #end(text, code) {
    if (this.#ended) return;
    this.#ended = true;
    this.#rejectPending(text);
    this.onclose(text, code);
  }

  #rejectPending(text) {
    for (const id of [...this.#pending.keys()]) this.#settle(id).reject(new Error(text));
  }
}
