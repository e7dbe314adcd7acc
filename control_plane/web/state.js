/**
 * The state tree and the questions asked of it.
 *
 * guilds: by server id, {server, channels: {id: Channel}, members: {user_id: Member}, voice: {session_id: VoiceState}}
 * histories: by channel id, see history.js · unread: by channel id, how many messages came while one looked elsewhere
 * place: where one is, {serverId, channelId} · gateway: "connecting", "online", "waiting" (to try again)
 * voice: the call, see voice/call.js
 */

export const NO_CALL = Object.freeze({
  status: "idle", // asking (for the microphone), connecting, connected, reconnecting, failed
  serverId: null,
  channelId: null,
  sessionId: null,
  muted: false,
  listening: false, // in the call without a microphone
  ping: null, // ms
  problem: null, // {kind, message}
  soundBlocked: false,
  participants: {}, // by session id
  speaking: {}, // session id: true
});

export const initialState = () => ({
  user: null,
  gateway: "connecting",
  ready: false, // whether the guilds are known
  guilds: {},
  histories: {},
  unread: {},
  place: { serverId: null, channelId: null },
  visible: true,
  voice: NO_CALL,
});

export const guildOf = (state, channelId) => Object.values(state.guilds).find((guild) => channelId in guild.channels);

export const isVoice = (channel) => channel.type !== "text";

/** In the order of the list: by position, then by age. */
export const channelsOf = (guild) =>
  Object.values(guild.channels).sort((a, b) => a.position - b.position || (a.channel_id < b.channel_id ? -1 : 1));

export const membersOf = (guild) =>
  Object.values(guild.members).sort((a, b) => a.user.username.localeCompare(b.user.username));

export const nameOf = (guild, userId) => guild?.members[userId]?.user.username ?? "someone";

/**
 * Who is in a voice channel: [{sessionId, userId, muted, speaking}], who came first first. Of one's own call the media node knows
 * best, of oneself the page, of other calls the gateway.
 */
export function voiceOf(state, guild, channelId) {
  const { voice } = state;
  const mine = voice.channelId === channelId && voice.status === "connected";
  const states = mine
    ? Object.values(voice.participants)
    : Object.values(guild.voice).filter((each) => each.channel_id === channelId);
  return states
    .map((each) => ({
      sessionId: each.session_id,
      userId: each.user_id,
      muted: mine && each.session_id === voice.sessionId ? voice.muted : each.muted,
      speaking: mine && each.session_id in voice.speaking,
    }))
    .sort((a, b) => (a.sessionId < b.sessionId ? -1 : 1));
}
