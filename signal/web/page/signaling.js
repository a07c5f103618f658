// The WebSocket to the signaling server.

import { closeText, errorText } from "./texts.js";

const connectTimeout = 10_000; // ms
const replyTimeout = 10_000; // ms
const maxPending = 64;

// ServerError is an answer of the server that says no; its message is for people.
export class ServerError extends Error {
  constructor(message) {
    super(errorText(message));
    this.code = message.code;
  }
}

// Signaling is one connection: it opens with connect, ends once, and stays ended.
export class Signaling {
  #socket;
  #pending = new Map(); // id -> {resolve, reject}
  #nextId = 1;
  #ended = false;

  // onmessage gets each message that is not a reply; onclose a text for people.
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
        this.#end(closeText(event.code));
      };
    });
  }

  // send sends a message that has no reply.
  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  // request resolves with the server's reply, or rejects with a text for people.
  request(message, timeout = replyTimeout) {
    if (this.#ended || this.#pending.size >= maxPending) {
      return Promise.reject(new Error("The server does not answer."));
    }
    const id = String(this.#nextId++);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id)?.reject(new Error("The server did not answer in time.")), timeout);
      this.#pending.set(id, { resolve, reject, timer });
      this.send({ ...message, id });
    });
  }

  // watch sends a message whose only reply can be an error, and calls failed with it.
  watch(message, failed) {
    this.request(message, 30_000).catch((error) => {
      if (error instanceof ServerError) failed(error);
    });
  }

  // close says goodbye; onclose is not called for it.
  close() {
    this.#ended = true;
    this.#socket?.close(1000);
    this.#rejectPending("Signed out.");
  }

  #receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // not ours: the server speaks JSON objects only
    }
    if (this.#ended || typeof message?.type !== "string") return;
    const pending = this.#settle(message.ref);
    if (!pending) return this.onmessage(message);
    if (message.type === "error" || message.success === false) pending.reject(new ServerError(message));
    else pending.resolve(message);
  }

  #settle(id) {
    const pending = this.#pending.get(id);
    if (!pending) return undefined;
    clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }

  #end(text) {
    if (this.#ended) return;
    this.#ended = true;
    this.#rejectPending(text);
    this.onclose(text);
  }

  #rejectPending(text) {
    for (const id of [...this.#pending.keys()]) this.#settle(id).reject(new Error(text));
  }
}
