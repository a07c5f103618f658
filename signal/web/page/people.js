// The view of who is here.

import { byId, element, icon, paintAvatar } from "./dom.js";
import { validName } from "./names.js";

export class People {
  #list = byId("people");
  #field = byId("find-name");
  #hint = byId("find-hint");
  #names = [];
  #total = 0;
  #inCall = false;
  #oncall;

  // oncall gets the name of the person to call.
  constructor(oncall) {
    this.#oncall = oncall;
    this.#field.oninput = () => this.#render();
    byId("find").onsubmit = (event) => {
      event.preventDefault();
      this.#callTyped();
    };
    this.#list.onclick = (event) => {
      const button = event.target.closest("button");
      if (button) this.#call(button.dataset.name);
    };
  }

  // show says who is here: names, sorted, out of total.
  show(names, total) {
    this.#names = names;
    this.#total = total;
    this.#render();
  }

  // setInCall says whether another call can be made.
  setInCall(inCall) {
    this.#inCall = inCall;
    this.#list.classList.toggle("in-call", inCall);
    this.say("");
  }

  say(text) {
    this.#hint.textContent = text;
  }

  #call(name) {
    if (this.#inCall) return this.say("Hang up first to call someone else.");
    this.#field.value = "";
    this.#render();
    this.#oncall(name);
  }

  #callTyped() {
    const name = this.#field.value.trim();
    if (validName(name)) return this.#call(name);
    this.say(name ? "A name has letters, digits and . _ @ + - only." : "Type a name to call.");
  }

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
    this.say(typed && this.#total && !found.length ? "Press Enter to call this name." : "");
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
