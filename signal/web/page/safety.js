// The safety code: 30 digits that two people compare over another channel, to
// know that nobody sits between them. Package peer derives the same.

// safetyCode returns six groups of five digits for two fingerprints, in either
// order, and the call's id, which is "" for a call without one.
export async function safetyCode(fingerprint1, fingerprint2, callId) {
  const input = [...[fingerprint1, fingerprint2].sort(), callId].join("\n");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(input)));
  const groups = [];
  for (let i = 0; i < 30; i += 5) {
    const number = digest.slice(i, i + 5).reduce((n, byte) => n * 256 + byte, 0); // 40 bits fit a double
    groups.push(String(number % 100000).padStart(5, "0"));
  }
  return groups.join(" ");
}
