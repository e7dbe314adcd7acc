/** Sign in and sign up: one form, two buttons. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { button, field, problemLine, submit } from "./form.js";

const USERNAME = /^[a-z0-9_.]{2,32}$/;
const SHORTEST_PASSWORD = 8;

/** `signedIn(session)` is called with what the server answered and may return a promise. */
export function accountForm({ api }, signedIn) {
  const username = field({
    label: "Username",
    name: "username",
    testid: "username",
    autocomplete: "username",
    autocapitalize: "none",
    spellcheck: "false",
    maxlength: 32,
    hint: "Small letters, digits, dots and underscores.",
  });
  const password = field({
    label: "Password",
    name: "password",
    type: "password",
    testid: "password",
    autocomplete: "current-password",
    maxlength: 128,
    hint: `At least ${SHORTEST_PASSWORD} characters.`,
  });
  const problem = problemLine();
  const fields = { username, password };

  const go = async (work, isNew) => {
    const credentials = { username: username.control.value.trim().toLowerCase(), password: password.control.value };
    const wrong = check(credentials, isNew);
    for (const [name, text] of Object.entries(wrong)) fields[name].say(text);
    const [first] = Object.keys(wrong);
    if (first) return fields[first].control.focus();
    return submit(form, { fields, problem }, async () => {
      try {
        await signedIn(await work(credentials));
      } catch (error) {
        if (error.code === "username_taken")
          error.message = `The name ${credentials.username} is taken. If it is yours, sign in.`;
        throw error;
      }
    });
  };

  const signUp = button("primary", "Create account", { testid: "sign-up", on: { click: () => go(api.signUp, true) } });
  const signIn = button("", "Sign in", { testid: "sign-in", type: "submit" });
  const form = h(
    "form",
    { class: "account-form", novalidate: true },
    username.element,
    password.element,
    problem.element,
  );
  form.append(h("div", { class: "buttons wide" }, signUp, signIn));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(api.signIn, false);
  });
  return form;
}

function check({ username, password }, isNew) {
  const wrong = {};
  if (!USERNAME.test(username)) wrong.username = "2 to 32 small letters (a–z), digits, dots or underscores.";
  if (!password) wrong.password = "Your password, please.";
  else if (isNew && password.length < SHORTEST_PASSWORD)
    wrong.password = `A little longer: at least ${SHORTEST_PASSWORD} characters.`;
  return wrong;
}

/** A card in the middle of an otherwise quiet page. */
export const card = (...content) =>
  h(
    "main",
    { class: "gate" },
    h("div", { class: "card" }, h("p", { class: "brand" }, icon("logo"), h("span", {}, "Chorale")), ...content),
  );

export function accountPage(app, signedIn, farewell) {
  return card(
    h("h1", {}, "A room for your people"),
    h("p", { class: "lead" }, "Write, talk, be there. Pick a name to begin; that is all it takes."),
    farewell && h("p", { class: "problem", role: "status" }, farewell),
    accountForm(app, signedIn),
  );
}
