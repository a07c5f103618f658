// What this page takes from a session description (SDP, RFC 8866).

const maxSections = 64;
const reserved = ["sendrecv", "sendonly", "recvonly", "inactive", "bundle-only"];
const valued = ["candidate", "fingerprint", "ice-pwd", "ice-ufrag"];
const sha256 = /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/;

// fingerprintOf returns the SHA-256 fingerprint of the certificate that a
// description announces, as upper-case hex with colons (RFC 8122, section 5).
//
// It throws unless there is one and no other: of two the browser might check the
// one that the safety code does not show.
export function fingerprintOf(sdp) {
  const found = new Set();
  for (const line of sdp.split(/[\r\n]+/)) {
    const [, hash, value] = /^a=[:\s]*fingerprint[:\s]*(\S*)\s*(.*?)\s*$/i.exec(line) ?? [];
    if (hash === undefined) continue;
    if (hash.toLowerCase() !== "sha-256" || !sha256.test(value.toUpperCase())) {
      throw new Error("description with a fingerprint that is not SHA-256");
    }
    found.add(value.toUpperCase());
  }
  if (found.size !== 1) throw new Error(`description with ${found.size} fingerprints`);
  return found.values().next().value;
}

// checkDataOnly throws unless the description is for data channels alone: nothing
// here sends or shows media.
export function checkDataOnly(sdp) {
  const media = sdp.split(/[\r\n]+/).filter((line) => line.startsWith("m="));
  if (media.length !== 1 || !media[0].startsWith("m=application ")) throw new Error("description with media");
}

// NotPermitted is thrown for a description that is more than its sender may send.
export class NotPermitted extends Error {}

// credentialsOf returns the ICE user fragment and password that a description with one section
// announces, separated by a space. Those of the section count, and the session's only in their
// absence. It throws if a part has two that differ.
export function credentialsOf(sdp) {
  const [session, section = ""] = sdp.split(/^m=/m);
  return ["ice-ufrag", "ice-pwd"].map((name) => onlyValue(section, name) ?? onlyValue(session, name)).join(" ");
}

// onlyValue returns the value that a part of a description gives an attribute, if any.
function onlyValue(part, name) {
  const values = new Set(part.split(/[\r\n]+/).filter((line) => line.startsWith(`a=${name}:`)));
  if (values.size > 1) throw new Error(`description with ${values.size} values of ${name}`);
  return values.values().next().value;
}

// checkPermitted throws unless a description can be read in one way only and its sender has the
// permissions that it needs. Permissions are undefined from a server that has none.
export function checkPermitted(description, permissions) {
  const needs = requirements(description?.sdp);
  if (permissions === undefined) return;
  const granted = Array.isArray(permissions) ? permissions : [];
  const lacks = needs.find((permission) => !granted.includes(permission));
  if (lacks) throw new NotPermitted(`description that needs the permission ${lacks}`);
}

// requirements returns which of "data", "publish" and "subscribe" the sender of an
// SDP needs, by the very rules of package protocol, where they are explained: what
// could be read in more than one way is refused.
export function requirements(sdp) {
  if (typeof sdp !== "string" || !sdp.endsWith("\n")) throw new NotPermitted("sdp without an end");
  const lines = sdp.slice(0, -1).split("\n").map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
  const sections = [new Section()]; // the first is the session's part
  lines.forEach((line, i) => {
    const fault = checkLine(line, i === 0) || read(line, sections);
    if (fault) throw new NotPermitted(`sdp line ${i + 1}: ${fault}`);
  });
  const needs = sections.flatMap((section) => section.needs());
  return ["data", "publish", "subscribe"].filter((permission) => needs.includes(permission));
}

// checkLine returns what is wrong with a line, as far as all have it in common.
function checkLine(line, first) {
  if (!/^[ -~]*$/.test(line)) return "not printable ASCII";
  if (!/^[vosiuepcbtrzkam]=./.test(line)) return "not of the form x=value";
  if (line[2] === " " && line[0] !== "s") return "space after the equals sign";
  if ((line[0] === "v") !== first || (first && line !== "v=0")) return "v=0 must be the first line";
}

// read takes a line into the last of the sections, or into a new one.
function read(line, sections) {
  const value = line.slice(2);
  if (line[0] === "a") return sections.at(-1).attribute(value);
  if (line[0] !== "m") return;
  if (sections.length > maxSections) return "too many media sections";
  sections.push(new Section());
  return sections.at(-1).open(value);
}

// Section is a media section, or the session's part before the first.
class Section {
  #media = "";
  #portZero = false;
  #bundleOnly = false;
  #streams = false;
  #direction = "";

  // open reads the value of the m-line, and returns what is wrong with it.
  open(value) {
    const [, media, port] = /^([a-z]+) (0|[1-9][0-9]{0,4})(?: [^ ]+){2,}$/.exec(value) ?? [];
    if (!media || port > 65535) return "media line of another form than the plainest";
    this.#media = media;
    this.#portZero = port === "0";
  }

  // attribute reads an a-line, and returns what is wrong with it.
  attribute(value) {
    if (!/^[A-Za-z0-9]/.test(value)) return "attribute without a name";
    const begins = (name) => value.toLowerCase().startsWith(name);
    const name = valued.find(begins);
    if (name && !(value.startsWith(`${name}:`) && /^[^ ]/.test(value.slice(name.length + 1)))) return `${name} in another spelling`;
    const word = reserved.find(begins);
    if (!word) this.#streams ||= value.startsWith("ssrc") || value.startsWith("rid");
    else if (word !== value) return `${word} must be written so, and stand alone`;
    else if (!this.#media && word !== "sendrecv") return `${word} belongs into a media section`;
    else if (word === "bundle-only") this.#bundleOnly = true;
    else if (this.#direction) return "a second direction";
    else this.#direction = word;
  }

  // needs returns the permissions that the section needs, now that it is read.
  needs() {
    const rejected = this.#portZero && !this.#bundleOnly;
    if (!this.#media) return [];
    if (this.#media === "application") return rejected ? [] : ["data"];
    if (!this.#direction && rejected && !this.#streams) return [];
    return { sendonly: ["publish"], recvonly: ["subscribe"], inactive: [] }[this.#direction] ?? ["publish", "subscribe"];
  }
}
