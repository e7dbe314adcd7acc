/** The page behind an invite link: which server it is, and one button. */

import { fill, h } from "../dom.js";
import { accountForm, card } from "./account.js";
import { avatar } from "./avatar.js";
import { button, problemLine, submit } from "./form.js";

/**
 * `signedIn(session)` takes a new session over; `accept()` joins and leaves this page; `away()` leaves it otherwise. Whoever has no
 * account is asked for one after the button, and then has joined.
 */
export function invitePage(app, code, { signedIn, accept, away }) {
  const body = h("div", { class: "invite-body" });
  const look = async () => {
    fill(body, h("p", { class: "lead", role: "status" }, "Looking at your invite…"));
    try {
      showInvite(app, body, await app.api.invite(code), { signedIn, accept });
    } catch (error) {
      showProblem(body, error, { look, away });
    }
  };
  look();
  return card(body);
}

function showInvite(app, body, invite, { signedIn, accept }) {
  const { server_id: id, server_name: name, member_count: count } = invite;
  const title = h("div", { class: "invite-server" }, avatar(id, name, "server"), h("h1", {}, name));
  const people = h(
    "p",
    { class: "lead" },
    `You are invited. ${count} ${count === 1 ? "member is" : "members are"} there already.`,
  );
  const problem = problemLine();
  const go = button("primary", "Accept the invite", { type: "submit", testid: "accept-invite" });
  const form = h("form", {}, problem.element, h("div", { class: "buttons wide" }, go));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (app.api.token) return submit(form, { problem }, accept);
    const who = h("p", { class: "lead" }, "First, who are you? Pick a name and a password, or sign in.");
    const account = accountForm(app, async (session) => {
      signedIn(session);
      fill(body, title, people, form); // should joining fail, it is not the account that is to be tried again
      await submit(form, { problem }, accept);
    });
    fill(body, title, people, who, account);
    return account.querySelector("input").focus();
  });
  fill(body, title, people, form);
}

function showProblem(body, error, { look, away }) {
  const text =
    error.code === "unknown_invite" ? "This invite does not work any more. Ask for a new one." : error.message;
  const again = error.passing && button("primary", "Try again", { on: { click: look } });
  const buttons = h("div", { class: "buttons wide" }, again, button("", "Go to Chorale", { on: { click: away } }));
  fill(body, h("h1", {}, "No way in here"), h("p", { class: "lead", role: "alert" }, text), buttons);
}
