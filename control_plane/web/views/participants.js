/** People in a voice channel, wherever they are shown: what they are called, what can be seen of them, and their menu. */

import { h, reconcile, setData, setText } from "../dom.js";
import { icon } from "../icons.js";
import { nameOf } from "../state.js";
import { avatar } from "./avatar.js";
import { openPersonMenu } from "./person.js";

/** [icon, what it says] for each thing that keeps somebody from speaking or hearing, and with `shows` for what they show. */
function marksOf({ muted, deafened, serverMuted, serverDeafened, silenced, camera, screen }, { shows }) {
  return [
    shows && camera !== null && ["video", "camera on"],
    shows && screen !== null && ["screen", "shares a screen"],
    silenced && ["silenced", "muted for you"],
    serverMuted ? ["server-muted", "muted by the owner"] : muted && ["muted", "muted"],
    serverDeafened ? ["server-deafened", "deafened by the owner"] : deafened && ["deafened", "deafened"],
  ].filter(Boolean);
}

export function drawMarks(element, participant, how = {}) {
  reconcile(element, marksOf(participant, how), {
    key: ([name]) => name,
    create: ([name, label]) => h("span", { class: `mark mark-${name}`, role: "img", "aria-label": label }, icon(name)),
  });
}

/**
 * The items of `list`, up to date. `kind`: "participant" for a line, "voice-tile" for a large circle. Everyone but oneself is a
 * button that opens the menu, which a right click does as well.
 */
export function drawPeople(list, present, { app, guild, channelId, kind }) {
  reconcile(list, present, {
    key: ({ sessionId }) => sessionId,
    create: (each) => create(each, { app, guild, channelId, kind }),
    update: (element, each) => update(element, each, guild),
  });
}

function create({ userId, isSelf }, { app, guild, channelId, kind }) {
  const name = nameOf(guild, userId);
  const content = [
    avatar(userId, name, kind === "voice-tile" ? "large" : "person"),
    h("span", { class: "participant-name" }),
    h("span", { class: "marks" }),
  ];
  const data = { userId };
  const testid = kind === "participant" ? "voice-participant" : "voice-tile";
  if (isSelf) return h("li", { class: kind, testid, data }, h("div", { class: "person" }, content));
  const button = h("button", { type: "button", class: "person", "aria-haspopup": "dialog" }, content);
  const open = (event) => {
    event.preventDefault();
    openPersonMenu(app, { userId, channelId, opener: button });
  };
  button.addEventListener("click", open);
  button.addEventListener("contextmenu", open);
  return h("li", { class: kind, testid, data }, button);
}

function update(element, participant, guild) {
  const name = nameOf(guild, participant.userId);
  setData(element, "user", name);
  setData(element, "muted", participant.muted || participant.serverMuted);
  setData(element, "deafened", participant.deafened || participant.serverDeafened);
  setData(element, "silenced", participant.silenced);
  setData(element, "speaking", participant.speaking);
  setData(element, "dominant", participant.dominant);
  setData(element, "heard", participant.heard);
  setText(element.querySelector(".participant-name"), name);
  drawMarks(element.querySelector(".marks"), participant, { shows: true });
}
