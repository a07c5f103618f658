// The view that signs in.

import { byId } from "./dom.js";

export class SignIn {
  #form = byId("signin-form");
  #name = byId("name");
  #password = byId("password");
  #button = byId("signin-button");
  #error = byId("signin-error");

  // onsubmit gets name and password, and rejects with a text for people.
  constructor(onsubmit) {
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#submit(onsubmit);
    };
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
    this.#error.textContent = "";
    this.#busy(true);
    try {
      await onsubmit(name, this.#password.value);
      this.#busy(false);
    } catch (error) {
      this.#busy(false);
      this.#fail(error.message, this.#password, error.code === "bad_credentials");
      this.#password.select();
    }
  }

  #busy(busy) {
    this.#button.disabled = busy;
    this.#button.textContent = busy ? "Signing in…" : "Sign in";
    this.#name.readOnly = this.#password.readOnly = busy;
  }

  #fail(text, field, invalid) {
    this.#error.textContent = text;
    for (const each of [this.#name, this.#password]) {
      each.setAttribute("aria-invalid", String(invalid && each === field));
    }
    field.focus();
  }
}
