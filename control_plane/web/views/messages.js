/** The messages of the open text channel: older ones come while one scrolls up, new ones while one is at the end. */

import { fill, h, reconcile, setData } from "../dom.js";
import { EMPTY } from "../history.js";
import { icon } from "../icons.js";
import { avatar } from "./avatar.js";
import { button } from "./form.js";
import { clockTime, dayName, fullTime, rowsOf } from "./rows.js";
import { linked } from "./text.js";

const AT_END = 48; // px: about one message
const LOAD_AHEAD = 600; // px before the first message: older ones are there before one arrives

export function messageList(app) {
  const { store, actions } = app;
  const list = h("ol", { class: "messages", "aria-label": "Messages" });
  const top = h("div", { class: "messages-top" });
  const scroller = h(
    "div",
    { class: "scroller", tabIndex: 0, role: "region", "aria-label": "Messages" },
    h("div", { class: "scrolled" }, top, list),
  );
  const jump = h("button", { type: "button", class: "jump", hidden: true }, icon("down"), "New messages");
  const element = h("div", { class: "message-pane" }, scroller, jump);

  let channelId = null;
  let last = null; // the key of the last message shown
  let atEnd = true;
  const toEnd = () => {
    scroller.scrollTop = scroller.scrollHeight;
    atEnd = true;
    jump.hidden = true;
  };
  const loadAhead = () => scroller.scrollTop < LOAD_AHEAD && channelId && actions.loadOlder(channelId);

  scroller.addEventListener("scroll", () => {
    atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < AT_END;
    if (atEnd) jump.hidden = true;
    loadAhead();
  });
  jump.addEventListener("click", toEnd);
  new ResizeObserver(() => atEnd && toEnd()).observe(scroller);

  store.watch(
    (state) => [
      state.place.channelId,
      state.histories[state.place.channelId],
      state.guilds[state.place.serverId]?.channels,
    ],
    ([nextChannelId, history = EMPTY]) => {
      const switched = nextChannelId !== channelId;
      const { user } = store.state;
      channelId = nextChannelId;
      const rows = rowsOf(history, user);
      const messages = rows.filter((row) => row.kind === "message");
      const anchor = switched || atEnd ? null : anchorIn(scroller, list);
      if (switched) fill(list);
      reconcile(list, rows, {
        key: (row) => row.key,
        create: (row) => draw(row),
        update: (each, row) => update(each, row, app, channelId),
      });
      drawTop(top, app, channelId, history);

      const added = messages.at(-1)?.key !== last && messages.length > 0;
      const own = messages.at(-1)?.message.user_id === user?.user_id;
      if (switched || atEnd || (added && own)) toEnd();
      else anchor?.hold();
      if (added && !switched && !atEnd) jump.hidden = false;
      last = messages.at(-1)?.key;
      loadAhead();
    },
  );
  return element;
}

/**
 * What one reads stays where it is, whatever comes or goes above it: a page of older messages, the line that says they are loading, a
 * byline that is no longer needed. `hold()` scrolls so that the first message in view is where it was before the change.
 */
function anchorIn(scroller, list) {
  const edge = scroller.getBoundingClientRect().top;
  const row = [...list.children].find((each) => each.getBoundingClientRect().bottom > edge);
  if (!row) return null;
  const topOf = () => row.getBoundingClientRect().top;
  const was = topOf();
  return {
    hold() {
      if (row.isConnected) scroller.scrollTop += topOf() - was;
    },
  };
}

function draw({ kind, message, time }) {
  if (kind === "day") return h("li", { class: "day" }, h("span", {}, dayName(time)));
  const at = new Date(message.timestamp);
  const author = message.author?.username ?? "someone";
  return h(
    "li",
    { class: "message", testid: "message" },
    avatar(message.user_id, author),
    h(
      "div",
      { class: "message-body" },
      h(
        "p",
        { class: "byline" },
        h("strong", { class: "author" }, author),
        " ",
        h("time", { datetime: at.toISOString(), title: fullTime(at) }, clockTime(at)),
      ),
      h("p", { class: "text" }, linked(message.content)),
    ),
    h("time", { class: "aside-time", "aria-hidden": "true" }, clockTime(at)),
  );
}

function update(element, { kind, head, draft }, { actions }, channelId) {
  if (kind === "day") return;
  setData(element, "head", head);
  const status = draft?.status ?? "sent";
  if (element.dataset.status === status) return;
  setData(element, "status", status);
  element.querySelector(".failure")?.remove();
  if (status !== "failed") return;
  const again = button("small", "Try again", { on: { click: () => actions.retry(channelId, draft.nonce) } });
  const discard = button("small quiet", "Discard", { on: { click: () => actions.discard(channelId, draft.nonce) } });
  element
    .querySelector(".message-body")
    .append(h("div", { class: "failure", role: "alert" }, h("span", {}, `Not sent. ${draft.error}`), again, discard));
}

function drawTop(top, { store, actions }, channelId, history) {
  const channel = store.state.guilds[store.state.place.serverId]?.channels[channelId];
  const empty = history.messages.length === 0 && history.outbox.length === 0;
  const kind = history.error
    ? `error ${history.error}`
    : history.complete
      ? `start ${channel?.name} ${empty}`
      : history.loading
        ? "loading"
        : "";
  const state = `${channelId} ${kind}`;
  if (top.dataset.state === state) return;
  top.dataset.state = state;
  if (history.error) {
    const load = () => (history.loaded ? actions.loadOlder(channelId) : actions.loadNewest(channelId));
    fill(
      top,
      h("p", { class: "problem", role: "alert" }, history.error),
      button("small", "Try again", { on: { click: load } }),
    );
  } else if (history.complete) {
    const hint = empty
      ? "Nobody has written here yet. Say hello."
      : "Everything that was written here begins with this.";
    fill(top, h("div", { class: "beginning" }, icon("hash"), h("h2", {}, channel?.name ?? ""), h("p", {}, hint)));
  } else {
    fill(top, history.loading && h("p", { class: "loading", role: "status" }, "Loading messages…"));
  }
}
