/** The composition root: who is here, which page they see, and what ties store, gateway and views together. */

import { Actions, startingPlace } from "./actions.js";
import { Api } from "./api.js";
import { apply } from "./events.js";
import { Gateway } from "./gateway.js";
import * as session from "./session.js";
import { guildOf, initialState } from "./state.js";
import { Store } from "./store.js";
import { accountPage } from "./views/account.js";
import { invitePage } from "./views/invite.js";
import { Notices } from "./views/notices.js";
import { shell } from "./views/shell.js";
import { Call } from "./voice/call.js";

const root = document.getElementById("root");
const store = new Store(initialState());
const api = new Api();
const notices = new Notices(document.getElementById("notices"));
const actions = new Actions(store, api);
const call = new Call(store, api, { notice: (text, how) => notices.show(text, how), moved: followInto });
const app = { store, api, actions, call, notices, signOut };

let gateway = null;
const inviteCode = /^\/invite\/([^/]+)\/?$/.exec(location.pathname)?.[1];

api.token = session.token.get();
api.onUnauthorized = () => leave("You were signed out. Sign in to go on.");
session.onTokenElsewhere((token) => token !== api.token && location.reload());

if (inviteCode) showInvite();
else if (api.token) enter();
else root.replaceChildren(accountPage(app, signedInHere, session.farewell.take()));

function showInvite() {
  const accept = async () => {
    connect();
    await actions.acceptInvite(decodeURIComponent(inviteCode));
    showShell();
  };
  root.replaceChildren(
    invitePage(app, decodeURIComponent(inviteCode), { signedIn, accept, away: () => location.assign("/") }),
  );
}

function signedIn({ user, token }) {
  api.token = token;
  session.token.set(token);
  store.change({ user });
}

function signedInHere(answer) {
  signedIn(answer);
  enter();
}

function enter() {
  connect();
  showShell();
}

function showShell() {
  root.replaceChildren(shell(app));
}

/** Opens the gateway, once. */
function connect() {
  if (gateway) return;
  const url = new URL("/gateway", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  gateway = new Gateway(url, api.token, {
    dispatch,
    status: (status) => store.change({ gateway: status }),
    refused: () => leave("You were signed out. Sign in to go on."),
  });
  gateway.start();
}

function dispatch(t, d) {
  store.change((state) => apply(state, t, d));
  if (t === "READY") standSomewhere();
  if (t === "READY" || t === "RESUMED") actions.retryUnsent();
  if (t === "MESSAGE_CREATE") announce(d);
}

/** After READY: where one was, if that is still there, with its newest messages read again. */
function standSomewhere() {
  const { state } = store;
  const here = state.guilds[state.place.serverId] ? state.place : startingPlace(state);
  if (here.serverId) actions.open(here.serverId, here.channelId, { record: false });
}

function announce({ channel_id: channelId, user_id: userId, author, content }) {
  const { place, user } = store.state;
  if (userId !== user?.user_id && place.channelId === channelId) notices.say(`${author.username}: ${content}`);
}

/** Someone put us into another voice channel: who was looking at the old one looks at the new one. */
function followInto(from, to) {
  const { state } = store;
  const guild = guildOf(state, to);
  notices.show(`You were moved to ${guild?.channels[to].name ?? "another channel"}.`);
  if (guild && state.place.channelId === from) actions.open(guild.server.server_id, to);
}

async function signOut() {
  call.leave();
  await api.signOut().catch(() => {}); // the token is forgotten here in any case
  leave("");
}

/** A fresh page is the surest way to keep nothing of the account. */
function leave(farewell) {
  api.token = null;
  gateway?.stop();
  session.clear();
  if (farewell) session.farewell.leave(farewell);
  location.replace(inviteCode && location.pathname.startsWith("/invite/") ? location.pathname : "/");
}

addEventListener("popstate", () => {
  const { serverId, channelId } = startingPlace(store.state);
  if (serverId) actions.open(serverId, channelId, { record: false });
});

document.addEventListener("visibilitychange", () => {
  const visible = document.visibilityState === "visible";
  store.change(({ unread, place }) => {
    const { [place.channelId]: _, ...others } = unread;
    return { visible, unread: visible ? others : unread };
  });
});

document.addEventListener("keydown", (event) => {
  if (!event.ctrlKey || !event.shiftKey || !["KeyM", "KeyD"].includes(event.code)) return;
  event.preventDefault();
  if (event.code === "KeyM") call.toggleMute();
  else call.toggleDeafen();
});

store.watch(
  (state) => [state.unread, state.place.channelId, guildOf(state, state.place.channelId)],
  ([unread, channelId, guild]) => {
    const count = Object.values(unread).reduce((sum, each) => sum + each, 0);
    const where = guild ? `${guild.channels[channelId].name} · ${guild.server.name} · ` : "";
    document.title = `${count ? `(${count}) ` : ""}${where}Chorale`;
  },
);
