/** Message text as nodes: links become links, everything else stays text. */

import { h } from "../dom.js";

const LINK = /https?:\/\/[^\s<>"'`]+/giu;
const TRAILING = /[.,:;!?*_~\]}]+$/u; // the sentence's, not the link's

export function linked(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    const address = trimmed(match[0]);
    const url = URL.canParse(address) ? new URL(address) : null;
    if (!url?.hostname) continue;
    nodes.push(
      text.slice(from, match.index),
      h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, address),
    );
    from = match.index + address.length;
  }
  nodes.push(text.slice(from));
  return nodes.filter((each) => each !== "");
}

/** Without the punctuation after it, and without a closing bracket that was opened before it. */
function trimmed(address) {
  let text = address.replace(TRAILING, "");
  while (text.endsWith(")") && text.split(")").length > text.split("(").length)
    text = text.slice(0, -1).replace(TRAILING, "");
  return text;
}
