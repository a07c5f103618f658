// The view of who is here.

import { byId, element, icon, onEvent, paintAvatar } from "./dom.js";
import { validName } from "./names.js";

const mutedText = "You are not allowed to chat in this room.";

export class People {
  #list = byId("people");
  #field = byId("find-name");
  #hint = byId("find-hint");
  #names = [];
  #total = 0;
  #inCall = false;
  #muted = false;
  #oncall;

  // oncall gets the name of the person to call.
  constructor(oncall) {
    this.#oncall = oncall;
    onEvent(this.#field, "input", () => this.#search());
    onEvent(byId("find"), "submit", (event) => {
      event.preventDefault();
      this.#callTyped();
    });
    onEvent(this.#list, "click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#call(button.dataset.name);
    });
  }

  // show says who is here: names, sorted, out of total.
  show(names, total) {
    this.#names = names;
    this.#total = total;
    this.#render();
  }

  // setRoom names the room, unless it is the one where everybody is at first.
  setRoom(room) {
    byId("people-room").hidden = room === "lobby";
    byId("room-name").textContent = room;
  }

  // setInCall says whether there is a call already.
  setInCall(inCall) {
    this.#inCall = inCall;
    this.#block();
  }

  // setMuted says whether calls are not allowed here.
  setMuted(muted) {
    this.#muted = muted;
    this.#block();
  }

  say(text) {
    this.#hint.textContent = text || (this.#muted ? mutedText : "");
  }

  #block() {
    this.#list.classList.toggle("blocked", this.#inCall || this.#muted);
    this.say("");
  }

  #call(name) {
    if (this.#inCall) return this.say("Hang up first to call someone else.");
    if (this.#muted) return this.say(mutedText);
    this.#field.value = "";
    this.#search();
    this.#oncall(name);
  }

  #callTyped() {
    const name = this.#field.value.trim();
    if (validName(name)) return this.#call(name);
    this.say(name ? "A name has letters, digits and . _ @ + - only." : "Type a name to call.");
  }

  // search shows the names that match what is typed.
  #search() {
    this.say("");
    this.#render();
  }

  // render leaves alone what say has said: people come and go at any time.
  #render() {
    const typed = this.#field.value.trim().toLowerCase();
    const found = this.#names.filter((name) => name.toLowerCase().includes(typed));
    const focused = document.activeElement?.dataset.name;
    this.#list.replaceChildren(...found.map(row));
    if (focused) this.#list.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
    byId("people-count").textContent = this.#total;
    byId("people-empty").hidden = this.#total > 0;
    const more = this.#total - this.#names.length;
    byId("people-more").hidden = more <= 0;
    byId("people-more").textContent = `and ${more} more: type a name to call`;
    if (typed && this.#total && !found.length) this.say("Press Enter to call this name.");
  }
}

function row(name) {
  const avatar = element("span", "avatar");
  avatar.ariaHidden = "true";
  paintAvatar(avatar, name);
  const button = element("button", "person", avatar, element("bdi", "name", name), icon("call", "Call"));
  button.type = "button";
  button.dataset.name = name;
  return element("li", "", button);
}
