/** Modal dialogs: the native element keeps the focus inside, closes on Escape and gives the focus back. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { iconButton } from "./form.js";

/** Shows `content` under a title until closed. Returns a function that closes it. */
export function openDialog(title, ...content) {
  const close = () => dialog.close();
  const heading = h("h2", { id: "dialog-title" }, title);
  const header = h("header", {}, heading, iconButton(icon("close"), "Close", { on: { click: close } }));
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "dialog-title" },
    h("div", { class: "dialog-body" }, header, ...content),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && close()); // the backdrop
  document.getElementById("dialogs").append(dialog);
  dialog.showModal();
  dialog.querySelector("input, .button")?.focus();
  return close;
}
