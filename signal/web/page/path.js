// The path that a call's packets take.

// pathOf reads an RTCStatsReport and returns "direct", "relayed", or "" while no
// candidate pair is nominated.
export function pathOf(stats) {
  const pair = selectedPair(stats);
  if (!pair) return "";
  const ends = [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)];
  return ends.some((end) => end?.candidateType === "relay") ? "relayed" : "direct";
}

function selectedPair(stats) {
  const all = [...stats.values()];
  const transport = all.find((s) => s.type === "transport" && s.selectedCandidatePairId);
  if (transport) return stats.get(transport.selectedCandidatePairId);
  return all.find((s) => s.type === "candidate-pair" && s.nominated && s.state === "succeeded");
}
