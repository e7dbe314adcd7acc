/** Building the page safely: elements and text nodes only, never a string of HTML. */

const PROPERTIES = new Set([
  "value",
  "checked",
  "disabled",
  "hidden",
  "open",
  "required",
  "readOnly",
  "srcObject",
  "tabIndex",
]);

/**
 * An element. `props`: `on` maps events to handlers, `data` goes to data-*, `testid` to data-testid, `class` and everything else to
 * attributes; null, undefined and false leave an attribute out. Children: nodes, strings (as text), arrays, null or false for nothing.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  element.append(...content(children));
  return element;
}

function set(element, name, value) {
  if (name === "on") {
    for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
  } else if (name === "data") {
    for (const [key, each] of Object.entries(value)) element.dataset[key] = String(each);
  } else if (name === "testid") {
    element.dataset.testid = value;
  } else if (PROPERTIES.has(name)) {
    element[name] = value;
  } else if (/^(on|style$|srcdoc$)/.test(name)) {
    throw new TypeError(`${name} is not set as an attribute here: the content security policy forbids it`);
  } else if (value !== null && value !== undefined && value !== false) {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

const content = (children) =>
  children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false);

/** Replaces what is inside `element`. */
export function fill(element, ...children) {
  element.replaceChildren(...content(children));
  return element;
}

/**
 * Makes the children of `parent` show `items`, in order. Elements are kept by key, so that focus, scroll and animation survive.
 * `create(item)` makes an element; `update(element, item)` brings it up to date, also right after `create`.
 */
export function reconcile(parent, items, { key, create, update = () => {} }) {
  const keys = items.map((item) => String(key(item)));
  const wanted = new Set(keys);
  const known = new Map();
  for (const child of [...parent.children]) {
    if (wanted.has(child.dataset.key)) known.set(child.dataset.key, child);
    else child.remove();
  }
  let next = parent.firstElementChild;
  for (const [index, item] of items.entries()) {
    let element = known.get(keys[index]);
    if (!element) {
      element = create(item);
      element.dataset.key = keys[index];
    }
    update(element, item);
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
  }
}

/** Writes text only if it differs: an unchanged node is not announced again by screen readers. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setData(element, name, value) {
  const text = String(value);
  if (element.dataset[name] !== text) element.dataset[name] = text;
}
