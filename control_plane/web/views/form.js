/** Fields that say what is wrong with them, and forms that wait for the server. */

import { fill, h } from "../dom.js";

let lastId = 0;

/** A labelled input. `hint` stands below until an error takes its place. */
export function field({ label, hint = "", ...input }) {
  const id = `field-${(lastId += 1)}`;
  const control = h("input", { id, class: "input", "aria-describedby": `${id}-note`, ...input });
  const note = h("p", { id: `${id}-note`, class: "note" }, hint);
  const element = h("div", { class: "field" }, h("label", { for: id }, label), control, note);
  const say = (text) => {
    control.setAttribute("aria-invalid", String(Boolean(text)));
    note.textContent = text || hint;
    element.classList.toggle("wrong", Boolean(text));
  };
  control.addEventListener("input", () => say(""));
  return { element, control, say };
}

/** A labelled choice. `offer([{id, name}], chosen)` shows what there is; `onchange(id)`. */
export function choice({ label, onchange, ...select }) {
  const id = `field-${(lastId += 1)}`;
  const control = h("select", { id, class: "input", ...select, on: { change: () => onchange(control.value) } });
  const element = h("div", { class: "field" }, h("label", { for: id }, label), control);
  const offer = (options, chosen) => {
    fill(control, options.map((each) => h("option", { value: each.id }, each.name)));
    if (options.some((each) => each.id === chosen)) control.value = chosen;
    control.disabled = options.length === 0;
  };
  return { element, control, offer };
}

/** Where a form says what went wrong as a whole. Read out when it changes. */
export function problemLine() {
  const element = h("p", { class: "problem", role: "alert", hidden: true });
  return {
    element,
    say(text) {
      element.hidden = !text;
      element.textContent = text;
    },
  };
}

/**
 * Runs `work` with the form's buttons disabled; shows an `ApiError` at the fields it names (`fields`: name → field) or in
 * `problem`. Resolves to whether it worked.
 */
export async function submit(form, { fields = {}, problem }, work) {
  const buttons = [...form.querySelectorAll("button")];
  problem.say("");
  for (const button of buttons) button.disabled = true;
  form.setAttribute("aria-busy", "true");
  try {
    await work();
    return true;
  } catch (error) {
    const named = Object.entries(error.fields ?? {}).filter(([name]) => name in fields);
    for (const [name, text] of named) fields[name].say(text);
    if (named.length) fields[named[0][0]].control.focus();
    else problem.say(error.message);
    return false;
  } finally {
    for (const button of buttons) button.disabled = false;
    form.removeAttribute("aria-busy");
  }
}

export const button = (kind, label, props = {}) =>
  h("button", { type: "button", class: `button ${kind}`, ...props }, label);

/** A button that is only a picture, with its name for those who do not see it. */
export function iconButton(picture, label, props = {}) {
  const element = h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, ...props });
  return fill(element, picture);
}
