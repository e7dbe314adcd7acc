/** Where one writes. Enter sends, Shift+Enter begins a line; what was begun is kept for each channel. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { iconButton } from "./form.js";

const LONGEST = 4000; // characters, as in proto/rest.py

export function composer({ store, actions }) {
  const begun = new Map(); // channel id → text
  let channelId = null;
  const text = h("textarea", {
    class: "composer-text",
    rows: 1,
    maxlength: LONGEST,
    testid: "composer",
    enterkeyhint: "send",
  });
  const send = iconButton(icon("send"), "Send", { type: "submit", disabled: true });
  const form = h("form", { class: "composer" }, text, send);

  const fit = () => {
    text.style.height = "auto";
    // Not laid out yet (hidden behind another view), it has no height to take: one row is then right.
    if (text.scrollHeight) text.style.height = `${text.scrollHeight}px`;
    send.disabled = !text.value.trim();
  };
  const submit = () => {
    const content = text.value.trim();
    if (!content || !channelId) return;
    text.value = "";
    fit();
    actions.send(channelId, content);
  };
  text.addEventListener("input", fit);
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    text.focus();
  });

  store.watch(
    (state) => state.guilds[state.place.serverId]?.channels[state.place.channelId],
    (channel) => {
      if (!channel || channel.channel_id === channelId) return;
      if (channelId) begun.set(channelId, text.value);
      channelId = channel.channel_id;
      text.placeholder = `Write in ${channel.name}`;
      text.setAttribute("aria-label", text.placeholder);
      text.value = begun.get(channelId) ?? "";
      fit();
      if (!matchMedia("(pointer: fine)").matches) return; // no keyboard popping up on phones
      const dialog = document.querySelector("dialog[open]"); // gives the focus back to where it was opened when it closes
      if (dialog) dialog.addEventListener("close", () => text.focus(), { once: true });
      else text.focus();
    },
  );
  return form;
}
