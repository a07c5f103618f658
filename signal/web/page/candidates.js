// ICE candidates on their way out and in (RFC 8838, trickle ICE).

import { credentialsOf } from "./description.js";

const batchDelay = 20; // ms
const maxBatch = 32;
const maxPerDescription = 256; // in it and after it; of ours, in a call

// Bounds of the candidates that the browser gets, for as long as the other side's
// credentials are the same: it checks each with each of ours. Package peer has the same.
const maxHosts = 24;
const maxOthers = 12;

const candidateLine = /^a=(candidate.*)\r?\n?/gim;
const lastCandidateLine = /^a=end-of-candidates\r?\n?/gim;

// conceal makes a candidate of a relay name nothing but the relay. It returns null for
// any other candidate: those name an address of ours.
export function conceal(candidate) {
  if (!/ typ relay( |$)/.test(candidate)) return null;
  const none = candidate.split(" ")[4].includes(":") ? "::" : "0.0.0.0";
  return candidate.replace(/ raddr \S+/, ` raddr ${none}`).replace(/ rport \S+/, " rport 0");
}

// concealAll conceals the candidates of a description, and names no default address.
export function concealAll(sdp) {
  return sdp
    .replace(candidateLine, (_, candidate) => {
      const concealed = conceal(candidate);
      return concealed ? `a=${concealed}\r\n` : "";
    })
    .replace(/^c=IN IP[46] \S+/gm, "c=IN IP4 0.0.0.0")
    .replace(/^a=rtcp:.*\r?\n?/gm, "")
    .replace(/^(m=\S+) [1-9][0-9]*/gm, "$1 9");
}

// Outgoing batches our candidates. It holds them until release says how the other
// side takes them. In a call that is relayed only, they name the relay alone.
export class Outgoing {
  #send;
  #waiting = [];
  #relayOnly;
  #count = 0;
  #released = false;
  #plain = false;
  #timer = 0;

  constructor(relayOnly, send) {
    this.#relayOnly = relayOnly;
    this.#send = send;
  }

  // add takes a candidate; null ends them.
  add(candidate) {
    const init = candidate && candidate.toJSON();
    if (init?.candidate && this.#relayOnly) init.candidate = conceal(init.candidate);
    if (init?.candidate === null || ++this.#count > maxPerDescription) return;
    this.#waiting.push(init);
    if (this.#released) this.#timer ||= setTimeout(() => this.#flush(), batchDelay);
  }

  // release lets the candidates go, one by one and without the end if the other
  // side speaks the plain form of the protocol.
  release(plain) {
    this.#released = true;
    this.#plain = plain;
    this.#flush();
  }

  close() {
    clearTimeout(this.#timer);
    this.#send = () => {};
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const all = this.#waiting.splice(0);
    if (this.#plain) {
      for (const candidate of all) if (candidate) this.#send({ type: "candidate", candidate });
      return;
    }
    for (let i = 0; i < all.length; i += maxBatch) {
      this.#send({ type: "candidates", candidates: all.slice(i, i + maxBatch) });
    }
  }
}

// Incoming hands the other side's candidates to the connection: those of its
// description, which come to it in no other way, and those after it. What comes before
// the first description is kept.
export class Incoming {
  #pc;
  #waiting = [];
  #count = 0; // of the latest description, and of those before the first
  #described = false;
  #credentials = "";
  #known = { host: new Set(), other: new Set() }; // that the connection has got

  constructor(pc) {
    this.#pc = pc;
  }

  add(candidate) {
    if (++this.#count > maxPerDescription) return;
    if (this.#described) this.#apply(candidate);
    else this.#waiting.push(candidate);
  }

  // describe sets the remote description. It throws if that has too many candidates, or two
  // different user fragments or passwords in one place.
  async describe(type, sdp) {
    const own = [...sdp.matchAll(candidateLine)].map(([, candidate]) => ({ candidate, sdpMLineIndex: 0 }));
    if (own.length > maxPerDescription) throw new Error(`description with ${own.length} candidates`);
    const credentials = credentialsOf(sdp);
    const bare = sdp.replace(candidateLine, "").replace(lastCandidateLine, "");
    await this.#pc.setRemoteDescription({ type, sdp: bare });
    if (credentials !== this.#credentials) this.#known = { host: new Set(), other: new Set() };
    this.#credentials = credentials;
    if (this.#described) this.#count = 0;
    this.#described = true;
    const early = this.#waiting.splice(0);
    for (const candidate of own) this.add(candidate);
    for (const candidate of early) this.#apply(candidate);
    if (sdp.search(lastCandidateLine) >= 0) this.add(null);
  }

  // A candidate that the browser cannot use (another transport, say), or one too many,
  // is no fault.
  #apply(candidate) {
    const text = String(candidate?.candidate ?? "");
    if (text && !this.#admit(text)) return;
    this.#pc.addIceCandidate(text ? candidate : null).catch(() => {});
  }

  #admit(text) {
    const [known, limit] = / typ host( |$)/.test(text) ? [this.#known.host, maxHosts] : [this.#known.other, maxOthers];
    if (known.has(text) || known.size === limit) return false;
    known.add(text);
    return true;
  }
}
