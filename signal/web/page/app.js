// The page: joins the session to the views.

import { Conversation } from "./conversation.js";
import { byId, element, onEvent } from "./dom.js";
import { People } from "./people.js";
import { Session } from "./session.js";
import { SignIn } from "./signin.js";

const server = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;

let session = null;
let call = null;
let unseen = 0;

const signIn = new SignIn(async (name, password, room) => {
  session = new Session(events);
  await session.signIn(server, name, password, room);
  signIn.hide();
  people.setRoom(session.room);
  byId("me").textContent = session.name;
  byId("app").hidden = false;
  if (!call) byId("people-title").focus();
});

const people = new People((name) => session.call(name));

const conversation = new Conversation({
  send: (text) => call.sendText(text),
  hangup: () => session.hangUp(),
  again: (peer) => session.call(peer),
  close: () => showCall(false),
});

const events = {
  people: (names, total) => people.show(names, total),
  permitted(chat) {
    people.setMuted(!chat);
    byId("app").toggleAttribute("data-muted", !chat);
  },
  call(next) {
    call = next;
    people.setInCall(true);
    showCall(true);
    conversation.begin(next.peer, next.caller);
  },
  state: (state) => conversation.setState(state),
  receipts: (yes) => conversation.setReceipts(yes),
  path: (path) => conversation.setPath(path),
  text(text) {
    conversation.receive(text);
    if (document.hidden) unseen++;
    showTitle();
  },
  received: (n) => conversation.confirm(n),
  ended(text) {
    call = null;
    byId("safety").close();
    people.setInCall(false);
    conversation.end(text);
  },
  notice: (text) => people.say(text),
  lost(text, inCall) {
    if (byId("call").hidden) return signOut(text); // nothing here to look at
    byId("banner-text").textContent = inCall ? `${text} Your call goes on without it.` : text;
    byId("banner").hidden = false;
    byId("app").dataset.offline = "";
    byId("app").dataset.view = "conversation";
    byId("people-view").inert = true;
    if (!inCall) byId("signin-again").focus();
  },
};

// showCall shows the call, or the place where the next one will be.
function showCall(visible) {
  byId("call").hidden = !visible;
  byId("idle").hidden = visible;
  byId("app").dataset.view = visible ? "conversation" : "people";
  if (!visible) byId("people-title").focus();
  showTitle();
}

function showTitle() {
  const peer = byId("call").hidden ? "" : `${byId("peer").textContent} · `;
  document.title = `${unseen ? `(${unseen}) ` : ""}${peer}sigctl`;
}

// signOut goes back to the form, with a text if there is something to say.
function signOut(text = "") {
  session?.signOut();
  session = null;
  showCall(false);
  byId("banner").hidden = true;
  delete byId("app").dataset.offline;
  byId("people-view").inert = false;
  byId("app").hidden = true;
  signIn.show(text);
}

async function verify() {
  const code = await call.safetyCode();
  if (!call) return; // ended meanwhile
  byId("safety-peer").textContent = call.peer;
  byId("safety-code").replaceChildren(...code.split(" ").map((group) => element("span", "", `${group} `)));
  byId("safety").showModal();
}

onEvent(byId("verify"), "click", verify);
onEvent(byId("safety-close"), "click", () => byId("safety").close());
onEvent(byId("signout"), "click", () => signOut());
onEvent(byId("signin-again"), "click", () => signOut());
onEvent(window, "pagehide", () => session && signOut());
onEvent(document, "visibilitychange", () => {
  if (document.hidden) return;
  unseen = 0;
  showTitle();
});
signIn.show();
