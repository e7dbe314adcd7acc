import { h } from "../dom.js";

/** A circle with initials, its colour decided by the id. */
export function avatar(id, name, kind = "person") {
  const element = h("span", { class: `avatar avatar-${kind}`, "aria-hidden": "true" }, initials(name));
  element.style.setProperty("--hue", String(hueOf(id)));
  return element;
}

/** Of two words the first letters, of one the first two. */
export function initials(name) {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? words.slice(0, 2).map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 2);
  return letters.join("").toUpperCase();
}

/** FNV-1a, so that ids made in the same second do not get neighbouring colours. */
function hueOf(id) {
  let hash = 0x811c9dc5;
  for (const character of id) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193) >>> 0;
  return hash % 360;
}
