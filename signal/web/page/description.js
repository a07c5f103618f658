// What this page takes from a session description (SDP, RFC 8866).

const sha256 = /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/;

// fingerprintOf returns the SHA-256 fingerprint of the certificate that a
// description announces, as upper-case hex with colons (RFC 8122, section 5).
//
// It throws unless there is one and no other: of two the browser might check the
// one that the safety code does not show.
export function fingerprintOf(sdp) {
  const found = new Set();
  for (const line of sdp.split(/[\r\n]+/)) {
    const [, hash, value] = /^a=fingerprint:\s*(\S*)\s*(.*?)\s*$/i.exec(line) ?? [];
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
