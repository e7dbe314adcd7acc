/** Stream keys: with one of them OBS and the like speak in a voice channel (WHIP, RFC 9725). */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { openDialog } from "./dialog.js";
import { button, field, iconButton, problemLine, submit } from "./form.js";

const madeOn = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export async function streamingDialog({ actions }, channel) {
  const id = channel.channel_id;
  const list = h("ul", { class: "keys", "aria-label": "Your stream keys", testid: "stream-keys" });
  const problem = problemLine();
  const news = h("div", { class: "key-news", role: "status" });
  const name = field({
    label: "New key",
    name: "name",
    testid: "stream-key-name",
    maxlength: 100,
    autocomplete: "off",
    placeholder: "OBS on the laptop",
  });
  const form = h(
    "form",
    { novalidate: true },
    h("div", { class: "beside" }, name.element, button("", "Make a key", { type: "submit", testid: "make-stream-key" })),
    problem.element,
  );

  let keys = [];
  const draw = () =>
    fill(
      list,
      keys.map((key) => row(key, () => revoke(key))),
    );
  const revoke = (key) =>
    submit(form, { problem }, async () => {
      await actions.revokeStreamKey(id, key.key_id);
      keys = keys.filter((each) => each !== key);
      fill(news, h("p", {}, `The key “${key.name}” does not work any more.`));
      draw();
      name.control.focus();
    });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = name.control.value.trim();
    if (!text) return name.say("Name what will use it, so that you know later which one to revoke.");
    return submit(form, { fields: { name }, problem }, async () => {
      const { made, key, address } = await actions.makeStreamKey(id, text);
      keys = [...keys, made];
      name.control.value = "";
      draw();
      fill(news, shownOnce(address, key));
      news.querySelector("button").focus();
    });
  });

  openDialog(
    `Stream into ${channel.name}`,
    h("p", { class: "lead" }, "OBS and other programs that speak WHIP can be heard here. Give each a key of its own."),
    form,
    news,
    list,
  );
  try {
    keys = await actions.streamKeys(id);
    draw();
  } catch (error) {
    problem.say(error.message);
  }
}

const row = ({ name, created_at: createdAt }, onrevoke) =>
  h(
    "li",
    { class: "key" },
    h("div", { class: "key-text" }, h("span", {}, name), h("small", {}, `made ${madeOn.format(new Date(createdAt))}`)),
    button("small", "Revoke", { "aria-label": `Revoke ${name}`, on: { click: onrevoke } }),
  );

function shownOnce(address, key) {
  return [
    h("p", {}, "Copy the key now: it is not shown again."),
    copyField("Server (WHIP)", address, "whip-url"),
    copyField("Bearer token", key, "stream-key"),
  ];
}

function copyField(label, value, testid) {
  const text = field({ label, value, testid, readOnly: true });
  const copy = iconButton(icon("copy"), `Copy: ${label}`);
  copy.addEventListener("click", async () => {
    text.control.select();
    try {
      await navigator.clipboard.writeText(value);
      fill(copy, icon("check"));
      copy.title = `Copied: ${label}`;
      copy.setAttribute("aria-label", copy.title);
    } catch {
      text.say("The browser does not let this page copy. It is selected: copy it with Ctrl+C."); // plain HTTP
    }
  });
  return h("div", { class: "beside" }, text.element, copy);
}
