/** The page behind an invite link: which server it is, and one button. */

import { fill, h } from "../dom.js";
import { accountForm, card } from "./account.js";
import { avatar } from "./avatar.js";
import { button, problemLine, submit } from "./form.js";

/**
 * `signedIn(session)` takes a new session over; `accept()` joins and leaves this page; `away()` leaves it otherwise. Whoever has no
 * account is asked for one after the button, and has joined when that is done.
 */
export function invitePage(app, code, { signedIn, accept, away }) {
  const body = h("div", { class: "invite-body" }, h("p", { class: "lead" }, "Looking at your invite…"));
  show(app, code, body, { signedIn, accept, away });
  return card(body);
}

async function show(app, code, body, { signedIn, accept, away }) {
  let invite;
  try {
    invite = await app.api.invite(code);
  } catch (error) {
    const text = error.code === "unknown_invite" ? "This invite does not work any more. Ask for a new one." : error.message;
    const retry = error.passing && button("primary", "Try again", { on: { click: () => show(app, code, body, { signedIn, accept, away }) } });
    fill(body, h("h1", {}, "No way in here"), h("p", { class: "lead", role: "alert" }, text));
    return body.append(h("div", { class: "buttons wide" }, ...[retry].filter(Boolean), button("", "Go to Chorale", { on: { click: away } })));
  }
  const count = invite.member_count;
  const problem = problemLine();
  const title = h("div", { class: "invite-server" }, avatar(invite.server_id, invite.server_name, "server"), h("h1", {}, invite.server_name));
  const people = h("p", { class: "lead" }, `You are invited. ${count} ${count === 1 ? "member is" : "members are"} there already.`);
  const form = h("form", {}, problem.element, h("div", { class: "buttons wide" }, button("primary", "Accept the invite", { type: "submit", testid: "accept-invite" })));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (app.api.token) return submit(form, { problem }, accept);
    const account = accountForm(app, async (session) => {
      await signedIn(session);
      await accept();
    });
    form.replaceWith(h("p", { class: "note" }, "First, who are you? Pick a name and a password, or sign in."), account);
    return account.querySelector("input").focus();
  });
  return fill(body, title, people, form);
}
