// The view that signs in.

import { byId, onEvent } from "./dom.js";
import { validName } from "./names.js";

export class SignIn {
  #form = byId("signin-form");
  #name = byId("name");
  #password = byId("password");
  #room = byId("room");
  #button = byId("signin-button");
  #error = byId("signin-error");

  // onsubmit gets name, password and room, and rejects with a text for people.
  constructor(onsubmit) {
    onEvent(this.#form, "submit", (event) => {
      event.preventDefault();
      this.#submit(onsubmit);
    });
  }

  // show shows the form, with a text if there is something to say.
  show(text = "") {
    byId("signin").hidden = false;
    this.#fail(text, this.#name.value ? this.#password : this.#name, false);
  }

  hide() {
    byId("signin").hidden = true;
    this.#password.value = "";
  }

  async #submit(onsubmit) {
    const name = this.#name.value.trim();
    if (!name) return this.#fail("Enter your name.", this.#name, true);
    if (!this.#password.value) return this.#fail("Enter your password.", this.#password, true);
    const room = this.#room.value.trim() || "lobby";
    if (!validName(room)) return this.#fail("A room’s name has letters, digits and . _ @ + - only.", this.#room, true);
    this.#error.textContent = "";
    this.#busy(true);
    try {
      await onsubmit(name, this.#password.value, room);
      this.#busy(false);
    } catch (error) {
      this.#busy(false);
      const field = error.code === "forbidden" ? this.#room : this.#password;
      this.#fail(error.message, field, error.code === "forbidden" || error.code === "bad_credentials");
      field.select();
    }
  }

  #busy(busy) {
    this.#button.disabled = busy;
    this.#button.textContent = busy ? "Signing in…" : "Sign in";
    this.#name.readOnly = this.#password.readOnly = this.#room.readOnly = busy;
  }

  #fail(text, field, invalid) {
    this.#error.textContent = text;
    for (const each of [this.#name, this.#password, this.#room]) {
      each.setAttribute("aria-invalid", String(invalid && each === field));
    }
    field.focus();
  }
}
