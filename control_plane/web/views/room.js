/** A voice channel from inside: cameras and screens on the stage, everyone else as a circle, lit while speaking. */

import { fill, h, setData } from "../dom.js";
import { icon } from "../icons.js";
import { voiceOf } from "../state.js";
import { inviteDialog } from "./dialogs.js";
import { button } from "./form.js";
import { drawPeople } from "./participants.js";
import { stage } from "./stage.js";

export function voiceRoom(app) {
  const { store, call } = app;
  const people = h("ul", { class: "tiles", "aria-label": "In this room" });
  const hint = h("div", { class: "room-hint" });
  const element = h("div", { class: "room" });
  let hinted = null;
  let onStage = null; // session ids, null while there is no stage

  const draw = () => {
    const { state } = store;
    const { channelId } = state.place;
    const guild = state.guilds[state.place.serverId];
    if (!guild?.channels[channelId]) return;
    const present = voiceOf(state, guild, channelId).filter(({ sessionId }) => !onStage?.has(sessionId));
    drawPeople(people, present, { app, guild, channelId, kind: "voice-tile" });
    setData(element, "stage", onStage !== null);
  };
  const cameras = stage(app, (sessionIds) => {
    onStage = sessionIds;
    draw();
  });

  store.watch(
    (state) => [state.guilds[state.place.serverId], state.place.channelId, state.voice, state.loudness],
    ([guild, channelId, voice]) => {
      if (!guild?.channels[channelId]) return;
      draw();

      const kind = situation(voice, channelId, voiceOf(store.state, guild, channelId).length);
      if (hinted === `${channelId} ${kind}`) return;
      hinted = `${channelId} ${kind}`;
      fill(
        hint,
        hintFor(kind, app, guild, () => call.join(channelId)),
      );
    },
  );
  element.append(cameras, people, hint);
  return element;
}

/** How one stands to this room. */
function situation(voice, channelId, present) {
  if (voice.channelId !== channelId || voice.status === "failed") return present ? "outside" : "empty";
  if (voice.status === "reconnecting") return "returning";
  if (voice.status !== "connected") return "joining";
  return present > 1 ? "together" : "alone";
}

function hintFor(kind, app, { server }, join) {
  const joinButton = () => button("primary", [icon("voice"), "Join voice"], { on: { click: join } });
  switch (kind) {
    case "joining":
      return h("p", { class: "lead" }, "Opening the door…");
    case "returning":
      return h("p", { class: "lead" }, "The line broke. Getting it back; there is nothing you need to do.");
    case "alone":
      return [
        h("p", { class: "lead" }, "You are here. The others see it and can join you."),
        button("", [icon("invite"), "Invite people"], { on: { click: () => inviteDialog(app, server) } }),
      ];
    case "outside":
      return joinButton();
    case "empty":
      return [h("p", { class: "lead" }, "Nobody is in here yet. Be the first, and others will see you."), joinButton()];
    default:
      return [];
  }
}
