/** What has to be said to whoever is here: notices one sees, and sentences only read out. */

import { h, reconcile } from "../dom.js";
import { icon } from "../icons.js";
import { iconButton } from "./form.js";

const STAY_MS = 7_000; // long enough to read two sentences

export class Notices {
  #list = h("ul", { class: "notices", role: "status" });
  #spoken = h("p", { class: "visually-hidden", "aria-live": "polite" });
  #notices = [];
  #lastId = 0;

  constructor(parent) {
    parent.append(this.#list, this.#spoken);
  }

  /** Shows a sentence for a while. */
  show(text, { wrong = false } = {}) {
    const id = (this.#lastId += 1);
    this.#notices = [...this.#notices.filter((each) => each.text !== text), { id, text, wrong }];
    this.#render();
    setTimeout(() => this.#dismiss(id), STAY_MS);
  }

  /** Read out by screen readers, not seen. */
  say(text) {
    this.#spoken.textContent = text;
  }

  #dismiss(id) {
    this.#notices = this.#notices.filter((each) => each.id !== id);
    this.#render();
  }

  #render() {
    reconcile(this.#list, this.#notices, {
      key: ({ id }) => id,
      create: ({ id, text, wrong }) =>
        h(
          "li",
          { class: wrong ? "notice wrong" : "notice" },
          h("span", {}, text),
          iconButton(icon("close"), "Dismiss", { on: { click: () => this.#dismiss(id) } }),
        ),
    });
  }
}
