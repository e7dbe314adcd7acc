/** The dialogs: new server (or an invite to one), new channel, invite. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { openDialog } from "./dialog.js";
import { button, field, problemLine, submit } from "./form.js";

const INVITE = /(?:\/invite\/|^)([A-Za-z0-9_-]{4,64})\/?$/;

/** From a link or a bare code; null if it is neither. */
export const inviteCode = (text) => INVITE.exec(text.trim())?.[1] ?? null;

export function newServerDialog({ actions }) {
  const name = field({
    label: "Server name",
    name: "name",
    testid: "server-name",
    maxlength: 100,
    autocomplete: "off",
    placeholder: "The reading circle",
  });
  const problem = problemLine();
  const form = h("form", { novalidate: true }, name.element, problem.element);
  form.append(
    h("div", { class: "buttons" }, button("primary", "Create server", { type: "submit", testid: "create-server" })),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = name.control.value.trim();
    if (!text) return name.say("Give it a name; you will recognise it by that.");
    return (await submit(form, { fields: { name }, problem }, () => actions.createServer(text))) && close();
  });
  const close = openDialog(
    "Create a server",
    h("p", { class: "lead" }, "A server is a place for your people: channels to write in, and rooms to talk in."),
    form,
    h("p", { class: "or" }, "or"),
    joinForm({ actions }, () => close()),
  );
}

/** A field for an invite link. `done` is called when it was accepted. */
export function joinForm({ actions }, done = () => {}) {
  const link = field({
    label: "Have an invite link?",
    name: "invite",
    autocomplete: "off",
    placeholder: `${location.origin}/invite/…`,
  });
  const problem = problemLine();
  const go = button("", "Join", { type: "submit" });
  const form = h(
    "form",
    { class: "join-form", novalidate: true },
    h("div", { class: "beside" }, link.element, go),
    problem.element,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const code = inviteCode(link.control.value);
    if (!code) return link.say("Paste the whole link you were given.");
    return (await submit(form, { problem }, () => actions.acceptInvite(code))) && done();
  });
  return form;
}

export function newChannelDialog({ actions }, serverId, type = "text") {
  const name = field({
    label: "Channel name",
    name: "name",
    testid: "new-channel-name",
    maxlength: 100,
    autocomplete: "off",
    placeholder: "garden",
  });
  const problem = problemLine();
  const kinds = h(
    "fieldset",
    { class: "choices" },
    h("legend", {}, "What is it for?"),
    choice("text", "hash", "Writing", "Messages that stay", type),
    choice("voice", "voice", "Talking", "A room to drop into", type),
  );
  const form = h("form", { novalidate: true }, kinds, name.element, problem.element);
  form.append(
    h("div", { class: "buttons" }, button("primary", "Create channel", { type: "submit", testid: "create-channel" })),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = name.control.value.trim();
    if (!text) return name.say("Give it a name.");
    const kind = form.elements.namedItem("type").value;
    return (
      (await submit(form, { fields: { name }, problem }, () => actions.createChannel(serverId, text, kind))) && close()
    );
  });
  const close = openDialog("Create a channel", form);
  name.control.focus();
}

const choice = (value, picture, label, hint, chosen) =>
  h(
    "label",
    { class: "choice" },
    h("input", { type: "radio", name: "type", value, checked: value === chosen, testid: `new-channel-${value}` }),
    icon(picture),
    h("span", {}, h("strong", {}, label), h("small", {}, hint)),
  );

export async function inviteDialog({ actions, notices }, server) {
  const link = field({
    label: "Invite link",
    testid: "invite-link",
    readOnly: true,
    value: "",
    hint: "It works for seven days.",
  });
  const problem = problemLine();
  const copy = button("primary", [icon("copy"), "Copy link"], { type: "submit", disabled: true });
  const form = h("form", {}, link.element, problem.element, h("div", { class: "buttons" }, copy));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    link.control.select();
    try {
      await navigator.clipboard.writeText(link.control.value);
      notices.show("The link is copied: send it to whom you like.");
    } catch {
      problem.say("The browser does not let this page copy. The link is selected: copy it with Ctrl+C."); // plain HTTP
    }
  });
  openDialog(`Invite people to ${server.name}`, h("p", { class: "lead" }, "Whoever opens this link can join."), form);
  try {
    link.control.value = await actions.inviteLink(server.server_id);
    copy.disabled = false;
    copy.focus();
  } catch (error) {
    problem.say(error.message);
  }
}
