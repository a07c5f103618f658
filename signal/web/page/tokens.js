// Room tokens: a password buys an access token, which buys room tokens, of which
// each signs in, or extends a session, once. See package protocol, api.go.

import { ServerError } from "./signaling.js";

const timeout = 10_000; // ms, of a request with its answer
const maxAnswer = 64 << 10; // bytes
const maxToken = 8 << 10; // characters
const margin = 30; // s for which an access token must still be good

const unusable = "The server’s answer cannot be used.";

// Codes of answers that do not come from our server but from a proxy before it.
const proxyCodes = { 403: "forbidden", 429: "rate_limited", 500: "internal", 502: "busy", 503: "busy", 504: "busy" };

// After these a new access token may do better.
const staleCodes = new Set(["bad_credentials", "token_expired", "unauthenticated"]);

// Tokens are those of one user in one room. They and the password are kept here
// alone: not in the document, not in any storage, not in a URL.
export class Tokens {
  #name;
  #password;
  #room;
  #access = null; // {token, expires}
  #gone = new AbortController();

  constructor(name, password, room) {
    this.#name = name;
    this.#password = password;
    this.#room = room;
  }

  // next resolves with a room token that is not spent, or with null if the server
  // gives none. It rejects with a text for people.
  async next() {
    if (this.#access?.expires > Date.now() / 1000 + margin) {
      try {
        return await this.#join();
      } catch (error) {
        if (!staleCodes.has(error.code)) throw error;
      }
    }
    this.#access = await this.#logIn();
    return this.#access && this.#join();
  }

  // forget forgets everything, and ends what is under way.
  forget() {
    this.#password = "";
    this.#access = null;
    this.#gone.abort();
  }

  async #logIn() {
    const { status, answer } = await this.#post("/api/login", { name: this.#name, password: this.#password });
    if (status === 404) return null; // a server from before there were tokens
    const { token, expires } = this.#accept(status, answer);
    return { token, expires };
  }

  async #join() {
    const { status, answer } = await this.#post("/api/rooms/join", { room: this.#room }, this.#access.token);
    return this.#accept(status, answer, this.#room).token;
  }

  // accept returns an answer that holds a token, and throws any other.
  #accept(status, answer, room) {
    const code = answer.code ?? proxyCodes[status];
    if (status !== 200 && code) throw new ServerError({ ...answer, code }, room);
    if (status !== 200 || typeof answer.token !== "string" || !/^[!-~]+$/.test(answer.token) || answer.token.length > maxToken) {
      throw new Error(unusable);
    }
    return answer;
  }

  async #post(path, body, token) {
    const ends = AbortSignal.timeout(timeout);
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
        body: JSON.stringify(body),
        cache: "no-store",
        redirect: "error",
        signal: AbortSignal.any([ends, this.#gone.signal]),
      });
      const retryAfter = Number(response.headers.get("Retry-After")) || undefined;
      return { status: response.status, answer: { retryAfter, ...parse(await readText(response)) } };
    } catch (error) {
      throw this.#gone.signal.aborted ? new Error("Signed out.") : faultOf(error, ends);
    }
  }
}

// faultOf turns what fetch throws into a text for people.
function faultOf(error, ends) {
  if (ends.aborted) return new Error("The server did not answer in time.");
  if (error instanceof TypeError) return new Error("The server cannot be reached. Check your connection and try again.");
  return error;
}

async function readText(response) {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let size = 0; reader;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > maxAnswer) {
      reader.cancel().catch(() => {});
      throw new Error(unusable);
    }
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

// parse returns the fields of a JSON object; what is none has no fields.
function parse(text) {
  try {
    const value = JSON.parse(text);
    return Array.isArray(value) ? {} : Object(value);
  } catch {
    return {};
  }
}
