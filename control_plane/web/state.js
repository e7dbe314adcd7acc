/**
 * The state tree and the questions asked of it.
 *
 * guilds: by server id, {server, channels: {id: Channel}, members: {user_id: Member}, voice: {session_id: VoiceState}}
 * histories: by channel id, see history.js · unread: by channel id, how many messages came while one looked elsewhere
 * place: where one is, {serverId, channelId} · gateway: "connecting", "online", "waiting" (to try again)
 * voice: the call, see voice/call.js · loudness: by user id, {volume, screen, silenced} where one wants somebody otherwise than as sent
 * devices: what one chose, {microphone, camera, output} by id and skipPreview
 */

import { devices, loudness } from "./session.js";

export const NO_CALL = Object.freeze({
  status: "idle", // asking (for the microphone), connecting, connected, reconnecting, failed
  serverId: null,
  channelId: null,
  sessionId: null,
  muted: false, // by oneself
  deafened: false, // by oneself; mutes as well
  listening: false, // in the call without a microphone
  ping: null, // ms
  quality: null, // see voice/quality.js
  problem: null, // {kind, message}
  soundBlocked: false, // until one clicks
  participants: {}, // by session id
  speaking: {}, // session id: true
  dominant: null, // the session id of who leads the conversation
  heard: {}, // session id: true, of those whose sound one gets
  own: Object.freeze({ camera: null, screen: null }), // the tracks one shows, to preview them
  watched: {}, // csrc: the video slot in which one wants to see it
  videos: {}, // by video slot, {csrc, limit, …}: whose picture is shown there now, see voice/video_slots.js
  videoTracks: [], // by video slot
  people: {}, // by session id, how well each arrives, see voice/reception.js
});

/** How one hears everybody whom one did not turn up or down. `screen`: how loud what they play on their screen is. */
export const AS_SENT = Object.freeze({ volume: 1, screen: 1, silenced: false });

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
  loudness: loudness.get(),
  devices: devices.get(),
});

export const guildOf = (state, channelId) => Object.values(state.guilds).find((guild) => channelId in guild.channels);

export const isVoice = (channel) => channel.type !== "text";

/** In the order of the list: by position, then by age. */
export const channelsOf = (guild) =>
  Object.values(guild.channels).sort((a, b) => a.position - b.position || (a.channel_id < b.channel_id ? -1 : 1));

export const membersOf = (guild) =>
  Object.values(guild.members).sort((a, b) => a.user.username.localeCompare(b.user.username));

export const nameOf = (guild, userId) => guild?.members[userId]?.user.username ?? "someone";

const shownOf = (tracks) => Object.keys(tracks).filter((source) => tracks[source] !== null);

/**
 * Who is in a voice channel, who came first first: [{sessionId, userId, isSelf, muted, deafened, serverMuted, serverDeafened,
 * silenced, speaking, dominant, heard, camera, screen, screenSound}]; camera and screen are the CSRC with which they show it, or
 * null. Of one's own call the media node knows best, of oneself the page, of other calls the gateway.
 */
export function voiceOf(state, guild, channelId) {
  const { voice, loudness: wanted, user } = state;
  const mine = voice.channelId === channelId && voice.sessionId !== null;
  const states = mine
    ? Object.values(voice.participants)
    : Object.values(guild.voice).filter((each) => each.channel_id === channelId);
  return states
    .map(({ session_id: sessionId, user_id: userId, ...each }) => {
      const isOwn = mine && sessionId === voice.sessionId;
      const own = isOwn ? voice : each;
      const shows = isOwn ? shownOf(voice.own) : mine ? (each.sources ?? []) : [];
      return {
        sessionId,
        userId,
        isSelf: userId === user?.user_id,
        muted: own.muted || own.deafened,
        deafened: own.deafened ?? false,
        serverMuted: each.server_muted ?? false,
        serverDeafened: each.server_deafened ?? false,
        silenced: wanted[userId]?.silenced ?? false,
        speaking: mine && sessionId in voice.speaking,
        dominant: mine && sessionId === voice.dominant,
        heard: mine && sessionId in voice.heard,
        camera: shows.includes("camera") ? each.csrc : null,
        screen: shows.includes("screen") ? each.screen_csrc : null,
        screenSound: shows.includes("screen_audio"),
      };
    })
    .sort((a, b) => (a.sessionId < b.sessionId ? -1 : 1));
}
