/** The bar of the call one is in: how the connection is, mute, leave, and what went wrong. */

import { fill, h, reconcile, setData, setText } from "../dom.js";
import { icon } from "../icons.js";
import { nameOf, voiceOf } from "../state.js";
import { avatar } from "./avatar.js";
import { button } from "./form.js";

const STATES = {
  asking: "Waiting for your microphone",
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
  failed: "Not connected",
};

export function dock(app) {
  const { store, actions, call } = app;
  const state = h("strong", { class: "dock-state", testid: "voice-state", role: "status" });
  const ping = h("span", { class: "dock-ping", title: "There and back again to the voice server" });
  const where = h("button", { type: "button", class: "dock-where" });
  const faces = h("ul", { class: "faces", "aria-hidden": "true" });
  const problem = h("div", { class: "dock-problem", role: "alert", hidden: true });
  const sound = button("primary", [icon("listen"), "Turn sound on"], {
    hidden: true,
    on: { click: () => call.resumeSound() },
  });
  const mute = h("button", { type: "button", class: "round", testid: "mute", on: { click: () => call.toggleMute() } });
  const leave = h(
    "button",
    { type: "button", class: "round hang-up", testid: "leave", title: "Leave voice", "aria-label": "Leave voice" },
    icon("leave"),
  );
  leave.addEventListener("click", () => call.leave());
  where.addEventListener("click", () => actions.open(store.state.voice.serverId, store.state.voice.channelId));

  const status = h("div", { class: "dock-status" }, h("p", {}, h("span", { class: "light" }), state, ping), where);
  const controls = h("div", { class: "dock-controls" }, sound, mute, leave);
  const row = h("div", { class: "dock-row" }, status, faces, controls);
  const element = h("section", { class: "dock", "aria-label": "Voice", hidden: true });

  store.watch(
    ({ voice, guilds }) => [voice, guilds],
    ([voice]) => {
      element.hidden = voice.status === "idle";
      if (element.hidden) return fill(element);
      if (!row.isConnected) fill(element, problem, row);
      const guild = store.state.guilds[voice.serverId];
      setData(element, "state", voice.status);
      setData(state, "state", voice.status);
      setText(state, STATES[voice.status]);
      setText(ping, voice.status === "connected" && voice.ping !== null ? `${voice.ping} ms` : "");
      setText(where, [guild?.channels[voice.channelId]?.name, guild?.server.name].filter(Boolean).join(" · "));
      sound.hidden = !voice.soundBlocked;
      mute.hidden = leave.hidden = voice.status === "failed";
      drawMute(mute, voice);
      drawProblem(problem, voice, call);
      return drawFaces(faces, guild ? voiceOf(store.state, guild, voice.channelId) : [], guild);
    },
  );
  return element;
}

function drawMute(mute, { muted, listening }) {
  const label = listening ? "Turn microphone on" : muted ? "Unmute" : "Mute";
  if (mute.dataset.label === label) return;
  mute.dataset.label = label;
  mute.title = `${label} (Ctrl+Shift+M)`;
  mute.setAttribute("aria-label", label);
  mute.setAttribute("aria-keyshortcuts", "Control+Shift+M");
  mute.dataset.muted = String(muted);
  fill(mute, icon(muted ? "muted" : "microphone"));
}

function drawProblem(element, { problem, status, channelId }, call) {
  const shown = problem ? `${status} ${problem.message}` : "";
  if (element.dataset.shown === shown) return;
  element.dataset.shown = shown;
  element.hidden = !problem;
  if (!problem) return fill(element);
  const failed = status === "failed";
  const withoutMicrophone = failed && problem.kind === "microphone";
  return fill(
    element,
    h("p", {}, problem.message),
    h(
      "div",
      { class: "buttons" },
      withoutMicrophone &&
        button("primary small", [icon("listen"), "Join and listen"], {
          testid: "listen",
          on: { click: () => call.join(channelId, { listening: true }) },
        }),
      failed && button("small", [icon("retry"), "Try again"], { on: { click: () => call.join(channelId) } }),
      button("small quiet", "Close", { on: { click: () => call.dismissProblem() } }),
    ),
  );
}

const FACES = 5;

function drawFaces(list, present, guild) {
  reconcile(list, present.slice(0, FACES), {
    key: (each) => each.sessionId,
    create: ({ userId }) => h("li", {}, avatar(userId, nameOf(guild, userId))),
    update: (element, { speaking }) => setData(element, "speaking", speaking),
  });
}
