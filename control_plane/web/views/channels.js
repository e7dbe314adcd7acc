/** The channels of the server, who is in each voice channel, and oneself at the bottom. */

import { fill, h, reconcile, setData, setText } from "../dom.js";
import { icon } from "../icons.js";
import { theme } from "../session.js";
import { channelsOf, isVoice, voiceOf } from "../state.js";
import { avatar } from "./avatar.js";
import { settingsDialog } from "./devices.js";
import { inviteDialog, newChannelDialog } from "./dialogs.js";
import { iconButton } from "./form.js";
import { drawPeople } from "./participants.js";
import { streamingDialog } from "./streaming.js";

const PICTURES = { text: "hash", voice: "voice", video: "video" };

export function channelList(app) {
  const { store } = app;
  const serverId = () => store.state.place.serverId;
  const title = h("h1", { class: "server-title" });
  const invite = iconButton(icon("invite"), "Invite people", { testid: "invite" });
  invite.addEventListener("click", () => inviteDialog(app, store.state.guilds[serverId()].server));

  const texts = section("Writing", "New text channel", () => newChannelDialog(app, serverId(), "text"), "new-channel");
  const voices = section("Talking", "New voice channel", () => newChannelDialog(app, serverId(), "voice"));

  const body = h("div", { class: "channels" }, texts.element, voices.element);
  const element = h(
    "nav",
    { class: "sidebar", "aria-label": "Channels" },
    h("header", { class: "bar" }, title, invite),
    body,
    self(app),
  );

  store.watch(
    (state) => [
      state.guilds[state.place.serverId],
      state.place.channelId,
      state.unread,
      state.voice,
      state.loudness,
    ],
    ([guild]) => {
      const { state } = store;
      body.hidden = invite.hidden = !guild;
      setText(title, guild?.server.name ?? "Chorale");
      if (!guild) return;
      const channels = channelsOf(guild);
      const draw = (list, wanted) =>
        reconcile(list, wanted, {
          key: (channel) => channel.channel_id,
          create: (channel) => row(app, channel),
          update: (each, channel) => updateRow(each, channel, { app, guild, state }),
        });
      draw(
        texts.list,
        channels.filter((each) => !isVoice(each)),
      );
      draw(voices.list, channels.filter(isVoice));
    },
  );
  return element;
}

function section(label, addLabel, onadd, testid) {
  const list = h("ul", {});
  const add = iconButton(icon("plus"), addLabel, { testid, on: { click: onadd } });
  return { list, element: h("section", {}, h("header", {}, h("h2", {}, label), add), list) };
}

function row(app, channel) {
  const { actions, call } = app;
  const voice = isVoice(channel);
  const button = h(
    "button",
    { type: "button", class: "channel", testid: `channel-${channel.name}` },
    icon(PICTURES[channel.type]),
    h("span", { class: "channel-name" }, channel.name),
    h("span", { class: "badge", hidden: true }),
  );
  button.addEventListener("click", () => {
    actions.open(channel.server_id, channel.channel_id);
    if (voice) call.join(channel.channel_id);
  });
  if (!voice) return h("li", {}, h("div", { class: "channel-row" }, button));
  const stream = iconButton(icon("broadcast"), `Stream into ${channel.name}`, {
    class: "icon-button channel-tool",
    testid: `stream-${channel.name}`,
    on: { click: () => streamingDialog(app, channel) },
  });
  const people = h("ul", { class: "participants", "aria-label": `In ${channel.name}` });
  return h("li", {}, h("div", { class: "channel-row" }, button, stream), people);
}

function updateRow(element, channel, { app, guild, state }) {
  const button = element.querySelector(".channel");
  const id = channel.channel_id;
  const unread = state.unread[id] ?? 0;
  if (state.place.channelId === id) button.setAttribute("aria-current", "page");
  else button.removeAttribute("aria-current");
  setData(button, "unread", unread > 0);
  setData(button, "joined", state.voice.channelId === id && state.voice.status !== "failed");
  const badge = button.querySelector(".badge");
  badge.hidden = unread === 0;
  setText(badge, unread > 99 ? "99+" : String(unread));
  badge.setAttribute("aria-label", `${unread} unread`);
  if (!isVoice(channel)) return;
  const people = element.querySelector(".participants");
  drawPeople(people, voiceOf(state, guild, id), { app, guild, channelId: id, kind: "participant" });
}

/** Who one is here, the devices, the theme, the way out. */
function self(app) {
  const { store, signOut } = app;
  const name = h("span", { class: "self-name" });
  const picture = h("span", { class: "self-picture" });
  const shade = iconButton(icon("sun"), "Switch theme");
  const drawShade = () => {
    fill(shade, icon(theme.isDark ? "sun" : "moon"));
    shade.title = theme.isDark ? "Light theme" : "Dark theme";
    shade.setAttribute("aria-label", shade.title);
  };
  shade.addEventListener("click", () => {
    theme.toggle();
    drawShade();
  });
  drawShade();
  theme.onSystemChange(drawShade);
  const devices = iconButton(icon("settings"), "Voice and video settings", { on: { click: () => settingsDialog(app) } });
  const out = iconButton(icon("exit"), "Sign out", { testid: "sign-out", on: { click: signOut } });
  store.watch(
    ({ user }) => user,
    (user) => {
      setText(name, user?.username ?? "");
      fill(picture, user && avatar(user.user_id, user.username));
    },
  );
  return h("footer", { class: "self" }, picture, name, devices, shade, out);
}
