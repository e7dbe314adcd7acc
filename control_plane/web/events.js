/** What each gateway event does to the state: `apply(state, t, d)` returns the parts that differ. */

import { EMPTY, withMessage } from "./history.js";
import { guildOf } from "./state.js";

const by = (key, list) => Object.fromEntries(list.map((each) => [key(each), each]));
const bySession = (states) => by((each) => each.session_id, states);

export const guildOfSnapshot = (snapshot) => ({
  server: snapshot.server,
  channels: by((each) => each.channel_id, snapshot.channels),
  members: by((each) => each.user.user_id, snapshot.members),
  voice: bySession(snapshot.voice_states),
});

const withGuild = (state, serverId, change) =>
  state.guilds[serverId] && {
    guilds: { ...state.guilds, [serverId]: { ...state.guilds[serverId], ...change(state.guilds[serverId]) } },
  };

const appliers = {
  READY(state, { user, guilds }) {
    // After a fresh start messages may be missing: what is known is shown until the newest page has been read again.
    const histories = Object.fromEntries(
      Object.entries(state.histories).map(([id, history]) => [id, { ...history, loaded: false, loading: null }]),
    );
    return { user, ready: true, histories, guilds: by((each) => each.server.server_id, guilds.map(guildOfSnapshot)) };
  },

  RESUMED(state, { voice_states: states }) {
    const entries = Object.entries(state.guilds).map(([id, guild]) => [
      id,
      { ...guild, voice: bySession(states.filter((each) => each.channel_id in guild.channels)) },
    ]);
    return { guilds: Object.fromEntries(entries) };
  },

  GUILD_CREATE(state, snapshot) {
    return { guilds: { ...state.guilds, [snapshot.server.server_id]: guildOfSnapshot(snapshot) } };
  },

  GUILD_MEMBER_ADD(state, { server_id: serverId, member }) {
    return withGuild(state, serverId, (guild) => {
      const members = { ...guild.members, [member.user.user_id]: member };
      return { members, server: { ...guild.server, member_count: Object.keys(members).length } };
    });
  },

  CHANNEL_CREATE(state, channel) {
    return withGuild(state, channel.server_id, (guild) => ({
      channels: { ...guild.channels, [channel.channel_id]: channel },
    }));
  },

  MESSAGE_CREATE(state, message) {
    const id = message.channel_id;
    const history = state.histories[id];
    const seen = message.user_id === state.user?.user_id || (state.visible && state.place.channelId === id);
    return {
      histories: history
        ? { ...state.histories, [id]: withMessage(history, message, state.user?.user_id) }
        : state.histories,
      unread: seen ? state.unread : { ...state.unread, [id]: (state.unread[id] ?? 0) + 1 },
    };
  },

  VOICE_STATE_UPDATE(state, { state: voiceState, present }) {
    const guild = guildOf(state, voiceState.channel_id);
    if (!guild) return null;
    return withGuild(state, guild.server.server_id, () => {
      const { [voiceState.session_id]: _, ...others } = guild.voice;
      return { voice: present ? { ...others, [voiceState.session_id]: voiceState } : others };
    });
  },
};

/** Events of a later version of the protocol are ignored. */
export function apply(state, t, d) {
  return Object.hasOwn(appliers, t) ? appliers[t](state, d) : null;
}

/** Changes one channel's history with `change(history)`. */
export function inHistory(state, channelId, change) {
  return { histories: { ...state.histories, [channelId]: change(state.histories[channelId] ?? EMPTY) } };
}
