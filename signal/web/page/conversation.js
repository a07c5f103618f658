// The view of a call: with whom, over what path, and the texts.

import { byId, element, icon, onEvent, paintAvatar } from "./dom.js";

const maxShown = 1000; // messages
const time = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });

const statusTexts = {
  connecting: "Connecting…",
  open: "Connected",
  interrupted: "Reconnecting…",
  ended: "Call ended",
};

export class Conversation {
  #peer = "";
  #state = "";
  #path = "";
  #receipts = true;
  #atEnd = true; // whether the newest message is in view
  #sent = new Map(); // number -> mark of a text that is not confirmed yet
  #messages = byId("messages");
  #log = byId("log");
  #text = byId("text");

  // on.send(text) returns the text's number or throws a text for people;
  // on.hangup(), on.again(peer) and on.close() are the buttons.
  constructor(on) {
    onEvent(this.#log, "scroll", () => {
      this.#atEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 80;
    });
    new ResizeObserver(() => this.#atEnd && this.#toEnd()).observe(this.#log);
    onEvent(byId("hangup"), "click", () => on.hangup());
    onEvent(byId("again"), "click", () => on.again(this.#peer));
    for (const id of ["close", "back"]) onEvent(byId(id), "click", () => on.close());
    onEvent(byId("composer"), "submit", (event) => {
      event.preventDefault();
      this.#send(on.send);
    });
    onEvent(this.#text, "input", () => byId("composer-error").textContent = "");
    this.#sendOnEnter(on.send);
  }

  // sendOnEnter sends on a line break that is typed without Shift. The Enter key
  // itself says less: keyboards of phones report no keys, and an input method
  // needs Enter to end what it composes.
  #sendOnEnter(send) {
    let shift = false;
    onEvent(this.#text, "keydown", (event) => shift = event.shiftKey);
    onEvent(this.#text, "beforeinput", (event) => {
      if (event.inputType !== "insertLineBreak" || shift) return;
      event.preventDefault();
      this.#send(send);
    });
  }

  // begin shows a call with peer; texts of an earlier one with the same person stay.
  begin(peer, caller) {
    if (peer !== this.#peer) this.#messages.replaceChildren();
    this.#peer = peer;
    this.#path = "";
    this.#receipts = true;
    this.#sent.clear();
    byId("peer").firstElementChild.textContent = peer;
    byId("intro-peer").textContent = peer;
    paintAvatar(byId("peer-avatar"), peer);
    this.#show(true);
    this.setState("connecting");
    this.#note(caller ? `You called ${peer}` : `${peer} called you`);
    byId("peer").focus();
  }

  setState(state) {
    this.#state = state;
    const open = state === "open" || state === "interrupted";
    const wasOpen = !this.#text.disabled;
    this.#text.disabled = byId("send").disabled = !open;
    this.#text.placeholder = open ? "Message" : "Connecting…";
    byId("verify").hidden = !open;
    this.#showStatus();
    if (open && !wasOpen && document.activeElement?.closest("#call")) this.#text.focus();
  }

  setReceipts(receipts) {
    this.#receipts = receipts;
    this.#showStatus();
  }

  setPath(path) {
    this.#path = path;
    this.#showStatus();
  }

  // receive shows a text of the other side.
  receive(text) {
    this.#add("theirs", text, this.#peer);
  }

  // confirm marks our first n texts as received.
  confirm(n) {
    for (const [number, mark] of this.#sent) {
      if (number > n) break;
      mark.replaceChildren(icon("received", "Received"));
      this.#sent.delete(number);
    }
  }

  // end says why the call ended, and what did not arrive, and offers another.
  end(text) {
    this.setState("ended");
    this.#reportUndelivered();
    byId("ended-text").textContent = text;
    this.#show(false);
    const focused = document.activeElement;
    if (focused && focused !== document.body && focused.checkVisibility()) return;
    for (const id of ["close", "again"]) byId(id).focus(); // the last that there is
  }

  // reportUndelivered shows what the other side may not have, and what was typed and
  // not sent. It is for nobody else: the next call begins with an empty message box.
  #reportUndelivered() {
    const draft = this.#text.value.trim();
    this.#text.value = "";
    const lost = [...this.#sent.values()];
    this.#sent.clear();
    for (const mark of lost) mark.replaceChildren(icon("lost", "May not have been received"));
    if (draft) this.#add("ours", draft, "You").replaceChildren(icon("lost", "Not sent"));
    if (lost.length) this.#note(`${this.#peer} may not have received the messages marked ✗`);
    if (draft) this.#note("Your last message was not sent");
  }

  #show(live) {
    byId("composer").hidden = byId("hangup").hidden = !live;
    byId("ended").hidden = byId("back").hidden = live;
    byId("composer-error").textContent = "";
  }

  #showStatus() {
    const status = byId("status");
    status.dataset.state = this.#state;
    let text = statusTexts[this.#state];
    if (this.#state === "open" && this.#path) text += `, ${this.#path}`;
    if (this.#state === "open" && !this.#receipts) text += ", no receipts";
    if (status.textContent !== text) status.textContent = text;
  }

  #send(send) {
    const text = this.#text.value.trim();
    if (!text || this.#text.disabled) return;
    try {
      const number = send(text);
      const mark = this.#add("ours", text, "You");
      if (this.#receipts) {
        mark.append(icon("sent", "Sent"));
        this.#sent.set(number, mark);
      }
      this.#text.value = "";
    } catch (error) {
      byId("composer-error").textContent = error.message;
    }
    this.#text.focus();
  }

  // add shows a text and returns the place of its delivery mark.
  #add(side, text, author) {
    const mark = element("span", "mark");
    const now = new Date();
    const when = element("time", "", time.format(now));
    when.dateTime = now.toISOString();
    const meta = element("span", "meta", when, mark);
    meta.ariaLive = "off"; // a mark that changes is not worth an interruption
    const item = element("li", `message ${side}`,
      element("span", "hidden-text", element("bdi", "", author), ": "), element("bdi", "text", text), meta);
    item.classList.toggle("follows", this.#messages.lastElementChild?.classList.contains(side) ?? false);
    this.#append(item, side === "ours");
    return mark;
  }

  #note(text) {
    this.#append(element("li", "note", text), true);
  }

  // append shows what is new unless the person is reading further up.
  #append(item, always) {
    this.#messages.append(item);
    while (this.#messages.childElementCount > maxShown) this.#messages.firstElementChild.remove();
    if (always || this.#atEnd) this.#toEnd();
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#atEnd = true;
  }
}
