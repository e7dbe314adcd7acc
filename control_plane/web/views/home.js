/** What one sees where there is nothing yet: what to do next. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { inviteDialog, joinForm, newChannelDialog, newServerDialog } from "./dialogs.js";
import { button } from "./form.js";

/** For one who is in no server. */
export function noServers(app) {
  const name = app.store.state.user?.username ?? "";
  return h(
    "div",
    { class: "empty" },
    icon("logo"),
    h("h2", {}, `Welcome, ${name}`),
    h("p", { class: "lead" }, "Make a place for your people, then send them a link."),
    button("primary", [icon("plus"), "Create a server"], { on: { click: () => newServerDialog(app) } }),
    h("p", { class: "or" }, "or"),
    joinForm(app),
  );
}

/** For a server without a channel one could open. */
export function noChannels(app, server) {
  return h(
    "div",
    { class: "empty" },
    icon("hash"),
    h("h2", {}, `${server.name} is ready`),
    h("p", { class: "lead" }, "It needs a channel to write in. You can add one to talk in as well."),
    button("primary", [icon("plus"), "Create a channel"], {
      on: { click: () => newChannelDialog(app, server.server_id) },
    }),
    button("", [icon("invite"), "Invite people"], { on: { click: () => inviteDialog(app, server) } }),
  );
}
