/** Small panels beside what opened them: closed by Escape and by a click elsewhere, after which the focus is where it was. */

import { h } from "../dom.js";

const GAP = 6; // px between the panel, its opener and the edge of the window

/** Shows `content` beside `opener`. `onclose` is called once, whatever closed it. Returns a function that closes it. */
export function openPopover(opener, label, content, onclose = () => {}) {
  const panel = h("div", { class: "popover", role: "dialog", "aria-label": label, popover: "auto" }, content);
  document.getElementById("dialogs").append(panel);
  opener.setAttribute("aria-expanded", "true");
  panel.addEventListener("toggle", ({ newState }) => {
    if (newState !== "closed") return;
    opener.setAttribute("aria-expanded", "false");
    panel.remove();
    if (document.activeElement === document.body) opener.focus();
    onclose();
  });
  panel.showPopover();
  place(panel, opener.getBoundingClientRect());
  panel.querySelector(":is(input, button):not(:disabled)")?.focus();
  return () => panel.matches(":popover-open") && panel.hidePopover();
}

/** To the right of the opener, else below it, and always inside the window. */
function place(panel, { left, right, top, bottom }) {
  const { width, height } = panel.getBoundingClientRect();
  const beside = right + GAP + width <= innerWidth - GAP;
  const below = bottom + GAP + height <= innerHeight - GAP;
  const x = beside ? right + GAP : left;
  const y = beside ? top : below ? bottom + GAP : top - GAP - height;
  panel.style.left = `${Math.max(GAP, Math.min(x, innerWidth - GAP - width))}px`;
  panel.style.top = `${Math.max(GAP, Math.min(y, innerHeight - GAP - height))}px`;
}
