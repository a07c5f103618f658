// What people read for the codes that programs exchange.

import { validName } from "./names.js";

const errors = {
  bad_credentials: () => "Wrong name or password.",
  already_logged_in: () => "This name is already in use. Sign out there first.",
  rate_limited: (m) => `${m.name ? "Too much was sent at once." : "Too many attempts."} Try again ${wait(m.retryAfter)}.`,
  token_expired: () => "Your sign-in has expired. Sign in again.",
  token_replayed: () => "Your sign-in was used already. Sign in again.",
  peer_offline: (m) => `${validName(m.name) ? m.name : "This person"} is not here.`,
  forbidden: (m, room) => room ? `You are not allowed to join the room ${room}.` : "You are not allowed to do that.",
  busy: (m, room) => `${m.name && validName(m.name) ? `${m.name} is not receiving messages fast enough` : room ? `The room ${room} is full, or the server is busy` : "The server is busy"}. Try again ${wait(m.retryAfter)}.`,
  internal: () => "Something went wrong on the server. Try again in a moment.",
};

const closes = {
  1001: "The server is restarting.",
  1006: "The connection to the server was lost.",
  1011: "Something went wrong on the server.",
  1012: "The server is restarting.",
  1013: "The server is busy. Try again in a moment.",
  4000: "The server is restarting.",
  4001: "This page could not keep up with the server.",
  4002: "The server has not heard from this page for too long.",
  4003: "The connection to the server was lost.",
  4004: "Too much was sent at once. Wait a moment.",
  4500: "Signing in took too long.",
  4501: "You were signed out by the server’s operator.",
  4502: "You signed in somewhere else.",
  4503: "Your session has expired. Sign in again to be reachable.",
  4504: "The server did not understand this page. Reload it.",
};

const endsByUs = {
  hangup: () => "You hung up.",
  ice_timeout: () => "No connection could be made.",
  lost: () => "The connection was lost.",
  server: () => "The connection to the server was lost.",
  protocol: (peer) => `${peer} sent something this page cannot use.`,
  failed: () => "The call could not be set up.",
  unsupported: (peer) => `${peer} asked for more than is allowed in this room.`,
};

const endsByThem = {
  hangup: (peer) => `${peer} hung up.`,
  busy: (peer) => `${peer} is in another call.`,
  declined: (peer) => `${peer} declined.`,
  unsupported: (peer) => `${peer} cannot take this kind of call.`,
  disconnected: (peer) => `${peer} lost the connection to the server.`,
  ice_timeout: () => "No connection could be made.",
  lost: () => "The connection was lost.",
  failed: () => "The call could not be set up.",
};

// errorText tells a person what an error message of the server means. room is the
// one that was asked for, if one was.
export function errorText(message, room) {
  const text = Object.hasOwn(errors, message.code) && errors[message.code](message, room);
  return text || `The server said: ${String(message.message || "no")}`.slice(0, 200);
}

// closeText tells a person why the WebSocket was closed.
export function closeText(code) {
  return closes[code] || "The connection to the server was closed.";
}

// expiredText tells a person that the session has expired, and why it was not
// extended, if that was tried.
export function expiredText(fault) {
  return fault ? `Your session has expired and was not extended: ${fault}` : closes[4503];
}

// endText tells a person why the call with peer ended. What comes from the other
// side can be anything; it is never shown itself.
export function endText(reason, byThem, peer) {
  const texts = byThem ? endsByThem : endsByUs;
  return (Object.hasOwn(texts, reason) ? texts[reason] : texts.hangup)(peer);
}

function wait(seconds) {
  if (!(seconds > 0)) return "in a moment";
  if (seconds < 90) return `in ${Math.ceil(seconds)} s`;
  if (seconds < 7200) return `in ${Math.ceil(seconds / 60)} minutes`;
  return "later";
}
