/** The bar of the call one is in: how the connection is, mute, deafen, leave, and what went wrong. */

import { fill, h, reconcile, setData, setText } from "../dom.js";
import { icon } from "../icons.js";
import { nameOf, voiceOf } from "../state.js";
import { canShareScreen } from "../voice/screen.js";
import { avatar } from "./avatar.js";
import { settingsDialog, toggleCamera } from "./devices.js";
import { button } from "./form.js";
import { qualitySign } from "./quality.js";

const STATES = {
  asking: "Waiting for your microphone",
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  failed: "Not connected",
};

export function dock(app) {
  const { store, actions, call } = app;
  const state = h("strong", { class: "dock-state", testid: "voice-state", role: "status" });
  const ping = h("span", { class: "dock-ping", title: "There and back again to the voice server" });
  const where = h("button", { type: "button", class: "dock-where" });
  const faces = h("ul", { class: "faces", "aria-hidden": "true" });
  const problem = h("div", { class: "dock-problem", role: "alert", hidden: true });
  const sound = button("primary", [icon("listen"), "Click to hear"], {
    hidden: true,
    testid: "hear",
    title: "The browser keeps the sound off until you click",
    on: { click: () => call.resumeSound() },
  });
  const mute = roundButton("mute", "M");
  const deafen = roundButton("deafen", "D");
  mute.addEventListener("click", () => explain(mute, app.notices) || call.toggleMute());
  deafen.addEventListener("click", () => explain(deafen, app.notices) || call.toggleDeafen());
  const camera = shareButton("camera", () => toggleCamera(app));
  const screen = shareButton("screen", () => (store.state.voice.own.screen ? call.stopScreen() : call.shareScreen()));
  const settings = shareButton("settings", () => settingsDialog(app));
  drawShare(settings, { label: "Voice and video settings", picture: "settings", on: null });
  const leave = h(
    "button",
    { type: "button", class: "round hang-up", testid: "leave", title: "Leave voice", "aria-label": "Leave voice" },
    icon("leave"),
  );
  leave.addEventListener("click", () => call.leave());
  where.addEventListener("click", () => actions.open(store.state.voice.serverId, store.state.voice.channelId));

  const status = h("div", { class: "dock-status" }, h("p", {}, h("span", { class: "light" }), state, qualitySign(app), ping), where);
  const controls = h("div", { class: "dock-controls" }, sound, mute, deafen, camera, screen, settings, leave);
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
      for (const each of [mute, deafen, camera, screen, settings, leave]) each.hidden = voice.status === "failed";
      screen.hidden ||= !canShareScreen();
      const self = voice.participants[voice.sessionId] ?? {};
      drawRound(mute, muteButton(voice, self));
      drawRound(deafen, deafenButton(voice, self));
      drawShare(camera, cameraButton(voice.own));
      drawShare(screen, screenButton(voice.own));
      drawProblem(problem, voice, call);
      return drawFaces(faces, guild ? voiceOf(store.state, guild, voice.channelId) : [], guild);
    },
  );
  return element;
}

const roundButton = (testid, key) =>
  h("button", { type: "button", class: "round", testid, "aria-keyshortcuts": `Control+Shift+${key}`, data: { key } });

const shareButton = (testid, onclick) => h("button", { type: "button", class: "round", testid, on: { click: onclick } });

const cameraButton = ({ camera }) => ({
  label: camera ? "Turn camera off" : "Turn camera on",
  picture: camera ? "video" : "video-off",
  on: camera !== null,
});

const screenButton = ({ screen }) => ({
  label: screen ? "Stop sharing the screen" : "Share the screen",
  picture: screen ? "screen-off" : "screen",
  on: screen !== null,
});

/** `on`: null for a button that is neither on nor off. */
function drawShare(button, { label, picture, on }) {
  if (button.dataset.shown === label) return;
  button.dataset.shown = label;
  if (on !== null) setData(button, "on", on);
  button.title = label;
  button.setAttribute("aria-label", label);
  fill(button, icon(picture));
}

/** `forced`: why it does nothing, where someone else decided. */
function muteButton({ muted, deafened, listening }, { server_muted: byOwner }) {
  if (byOwner) return { label: "Mute", picture: "server-muted", on: true, forced: FORCED.mute };
  const on = muted || deafened;
  const label = listening ? "Turn microphone on" : on ? "Unmute" : "Mute";
  return { label, picture: on ? "muted" : "microphone", on, forced: "" };
}

function deafenButton({ deafened }, { server_deafened: byOwner }) {
  if (byOwner) return { label: "Deafen", picture: "server-deafened", on: true, forced: FORCED.deafen };
  return { label: deafened ? "Undeafen" : "Deafen", picture: deafened ? "deafened" : "listen", on: deafened, forced: "" };
}

const FORCED = {
  mute: "The owner of this server muted you. Nobody hears you until they undo it.",
  deafen: "The owner of this server deafened you. You hear nobody until they undo it.",
};

function drawRound(button, { label, picture, on, forced }) {
  const shown = `${label} ${picture}`;
  if (button.dataset.shown === shown) return;
  button.dataset.shown = shown;
  button.dataset.muted = String(on);
  button.dataset.forced = forced;
  button.title = forced || `${label} (Ctrl+Shift+${button.dataset.key})`;
  button.setAttribute("aria-label", label);
  button.setAttribute("aria-disabled", String(Boolean(forced)));
  if (forced) button.setAttribute("aria-description", forced);
  else button.removeAttribute("aria-description");
  fill(button, icon(picture));
}

/** Whether there was something to explain. */
function explain({ dataset: { forced } }, notices) {
  if (forced) notices.show(forced);
  return Boolean(forced);
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

/** Of many, those whom one hears. */
function drawFaces(list, present, guild) {
  const some = present.length > FACES ? present.filter((each) => each.heard) : present;
  reconcile(list, some.slice(0, FACES), {
    key: (each) => each.sessionId,
    create: ({ userId }) => h("li", {}, avatar(userId, nameOf(guild, userId))),
    update: (element, { speaking, dominant }) => {
      setData(element, "speaking", speaking);
      setData(element, "dominant", dominant);
    },
  });
}
