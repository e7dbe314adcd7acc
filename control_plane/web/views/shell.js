/** The page of one who is signed in: servers, channels, the open channel, members, the call. */

import { fill, h, setText } from "../dom.js";
import { icon } from "../icons.js";
import { isVoice } from "../state.js";
import { channelList } from "./channels.js";
import { composer } from "./composer.js";
import { dock } from "./dock.js";
import { iconButton } from "./form.js";
import { noChannels, noServers } from "./home.js";
import { memberList } from "./members.js";
import { messageList } from "./messages.js";
import { rail } from "./rail.js";
import { voiceRoom } from "./room.js";

const SLOW_MS = 1_500; // shorter breaks are nobody's concern

export function shell(app) {
  const { store } = app;
  const narrow = matchMedia("(max-width: 760px)"); // as in shell.css
  const middling = matchMedia("(max-width: 1060px)");

  const menu = iconButton(icon("menu"), "Servers and channels", {
    class: "icon-button menu",
    "aria-expanded": "false",
  });
  const people = iconButton(icon("people"), "Members", { "aria-controls": "members" });
  const picture = h("span", { class: "place-picture" });
  const name = h("h2", { class: "place-name" });
  const header = h("header", { class: "bar" }, menu, picture, name, people);

  const written = h("div", { class: "written" }, messageList(app), composer(app));
  const room = voiceRoom(app);
  const nothing = h("div", { class: "nothing" });
  const main = h("main", { class: "main" }, header, banner(app), written, room, nothing);

  const drawer = h("div", { class: "drawer" }, rail(app), channelList(app));
  const shade = h("div", { class: "shade" });
  const element = h(
    "div",
    { class: "shell", data: { panel: "none", members: "shown" } },
    drawer,
    main,
    memberList(app),
    shade,
    dock(app),
  );

  /** On small screens one panel at most lies over the channel. */
  const show = (panel) => {
    element.dataset.panel = panel;
    menu.setAttribute("aria-expanded", String(panel === "drawer"));
    if (panel === "drawer") (drawer.querySelector("[aria-current=page]") ?? drawer.querySelector("button")).focus();
  };
  menu.addEventListener("click", () => show("drawer"));
  shade.addEventListener("click", () => show("none"));
  people.addEventListener("click", () => {
    if (middling.matches) show(element.dataset.panel === "members" ? "none" : "members");
    else element.dataset.members = element.dataset.members === "shown" ? "hidden" : "shown";
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || element.dataset.panel === "none") return;
    show("none");
    (narrow.matches ? menu : people).focus();
  });

  store.watch(
    ({ ready, guilds, place, user }) => [
      ready,
      guilds[place.serverId]?.channels,
      place,
      user,
      Object.keys(guilds).length,
    ],
    ([ready, channels, place]) => {
      const guild = store.state.guilds[place.serverId];
      const channel = channels?.[place.channelId];
      const kind = channel ? (isVoice(channel) ? "room" : "written") : "nothing";
      written.hidden = kind !== "written";
      room.hidden = kind !== "room";
      nothing.hidden = kind !== "nothing";
      people.hidden = !guild;
      element.dataset.place = guild ? "server" : "nowhere";
      setText(name, channel?.name ?? guild?.server.name ?? "");
      fill(picture, channel && icon(isVoice(channel) ? "voice" : "hash"));
      if (kind !== "nothing") fill(nothing);
      else if (!ready) fill(nothing, h("p", { class: "loading", role: "status" }, "Opening Chorale…"));
      else if (guild) fill(nothing, noChannels(app, guild.server));
      else if (Object.keys(store.state.guilds).length === 0) fill(nothing, noServers(app));
    },
  );
  store.watch(
    ({ place }) => place.channelId,
    () => show("none"),
  );
  return element;
}

/** Says so while the gateway is away for longer than a moment. */
function banner({ store }) {
  const element = h("p", { class: "banner", role: "status", hidden: true });
  let timer = 0;
  store.watch(
    ({ gateway }) => gateway === "online",
    (online) => {
      clearTimeout(timer);
      element.hidden = true;
      if (online) return;
      timer = setTimeout(() => {
        element.textContent = "The connection is gone. Trying to get it back…";
        element.hidden = !store.state.ready;
      }, SLOW_MS);
    },
  );
  return element;
}
