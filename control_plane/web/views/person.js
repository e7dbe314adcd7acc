/** The menu of somebody in voice: how loud one hears them, and what who runs the server may do. */

import { h, setText } from "../dom.js";
import { icon } from "../icons.js";
import { AS_SENT, channelsOf, isVoice, nameOf, voiceOf } from "../state.js";
import { avatar } from "./avatar.js";
import { openPopover } from "./popover.js";

const LOUDEST = 200; // percent: the quietest microphones need no more
const STEP = 5;

export function openPersonMenu(app, { userId, channelId, opener }) {
  const { store, call } = app;
  const guild = Object.values(store.state.guilds).find((each) => channelId in each.channels);
  const name = nameOf(guild, userId);
  const isOwner = guild.server.owner_id === store.state.user?.user_id;

  const volume = slider("Volume", "volume", (value) => call.setLoudness(userId, { volume: value / 100 }));
  const screen = slider("Screen volume", "screen-volume", (value) => call.setLoudness(userId, { screen: value / 100 }));
  const silence = toggle("silenced", "Mute for me", "silence", (on) => call.setLoudness(userId, { silenced: on }));
  const owners = isOwner ? ownersPart(app, { guild, userId, channelId, name, close: () => close() }) : null;
  const content = [
    h("header", { class: "person-header" }, avatar(userId, name), h("strong", {}, name)),
    volume.element,
    screen.element,
    silence.element,
    owners?.element,
  ];
  const stop = store.watch(
    ({ loudness, guilds, voice }) => [loudness, guilds, voice],
    ([loudness]) => {
      const { volume: loud, screen: screenLoud, silenced } = { ...AS_SENT, ...loudness[userId] };
      volume.show(Math.round(loud * 100), silenced);
      screen.show(Math.round(screenLoud * 100), false);
      silence.show(silenced);
      const present = voiceOf(store.state, store.state.guilds[guild.server.server_id] ?? guild, channelId);
      const somebody = present.find((each) => each.userId === userId);
      screen.element.hidden = !somebody?.screenSound;
      if (somebody) owners?.show(somebody);
      else queueMicrotask(() => close()); // gone, or somewhere else
    },
  );
  const close = openPopover(opener, name, content, stop);
}

function slider(label, testid, onchange) {
  const input = h("input", {
    type: "range",
    class: "slider",
    min: 0,
    max: LOUDEST,
    step: STEP,
    testid,
    "aria-label": label,
  });
  const shown = h("output", { class: "slider-value" });
  input.addEventListener("input", () => onchange(Number(input.value)));
  input.addEventListener("dblclick", () => onchange(100));
  const element = h(
    "label",
    { class: "volume", title: "Double-click for 100 %" },
    h("span", { class: "volume-label" }, label, shown),
    input,
  );
  const show = (percent, silenced) => {
    input.value = String(percent);
    input.disabled = silenced;
    input.setAttribute("aria-valuetext", `${percent} percent`);
    input.style.setProperty("--filled", `${(100 * percent) / LOUDEST}%`);
    setText(shown, `${percent} %`);
  };
  return { element, show };
}

/** A line that is on or off. `onchange` may return a promise; the line waits for it. */
function toggle(picture, label, testid, onchange) {
  const element = h(
    "button",
    { type: "button", class: "menu-item", role: "switch", "aria-checked": "false", testid },
    icon(picture),
    h("span", {}, label),
    h("span", { class: "switch", "aria-hidden": "true" }),
  );
  const isOn = () => element.getAttribute("aria-checked") === "true";
  element.addEventListener("click", () => onchange(!isOn()));
  return { element, show: (on) => element.setAttribute("aria-checked", String(on)) };
}

function ownersPart({ actions, notices }, { guild, userId, channelId, name, close }) {
  const attempt = async (work, done = () => {}) => {
    try {
      await work();
      done();
    } catch (error) {
      notices.show(error.message, { wrong: true });
    }
  };
  const change = (what, done) => attempt(() => actions.changeParticipant(channelId, userId, what), done);
  const muted = toggle("server-muted", "Mute for everyone", "server-mute", (on) => change({ server_muted: on }));
  const deafened = toggle("server-deafened", "Deafen", "server-deafen", (on) => change({ server_deafened: on }));
  const item = (picture, label, testid, onclick, kind = "") =>
    h(
      "button",
      { type: "button", class: `menu-item ${kind}`, testid, on: { click: onclick } },
      icon(picture),
      h("span", {}, label),
    );
  const moves = channelsOf(guild)
    .filter((each) => isVoice(each) && each.channel_id !== channelId)
    .map((each) =>
      item("move", `Move to ${each.name}`, `move-${each.name}`, () => change({ channel_id: each.channel_id }, close)),
    );
  const disconnect = item(
    "leave",
    "Disconnect",
    "disconnect",
    () => attempt(() => actions.disconnect(channelId, userId), close),
    "danger",
  );
  const element = h(
    "div",
    { class: "menu-part", role: "group", "aria-label": `What you, as the owner, can do with ${name}` },
    muted.element,
    deafened.element,
    h("div", { class: "menu-moves" }, moves),
    disconnect,
  );
  const show = ({ serverMuted, serverDeafened }) => {
    muted.show(serverMuted);
    deafened.show(serverDeafened);
  };
  return { element, show };
}
