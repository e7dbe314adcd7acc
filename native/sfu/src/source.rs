//! What a peer publishes, and how loud it is.

use std::time::{Duration, Instant};

use crate::SourceConfig;
use crate::drops::Drop;
use crate::rtp::{AudioLevel, Header, Reception};

/// Loudness of a voice whose client sends no levels: a moderate one, so that it neither loses to a whisper nor wins over a
/// speaker.
const MID_LEVEL: u8 = 40;
/// Opus sends at most two bytes for a frame of silence (RFC 6716 §3.1: TOC and nothing, or one code-3 count).
const DTX_PAYLOAD: usize = 2;
/// Quieter than this (-dBov) is not speech: room tone through automatic gain control stays below.
const VOICE_LEVEL: u8 = 55;
/// Share of a new level in the running score when it rises: three packets (60 ms) to be heard as a speaker.
const ATTACK: f32 = 0.3;
/// And when it falls: about 400 ms, longer than a pause between words.
const DECAY: f32 = 0.05;
/// Decibels a holder's score loses for every second it has held a slot, up to `MAX_FATIGUE`: someone who has talked for long
/// gives way to someone equally loud.
const FATIGUE: f32 = 0.2;
const MAX_FATIGUE: f32 = 6.0;

pub(crate) struct Source {
    config: SourceConfig,
    ssrc: Option<u32>,
    /// Those it has sent under and left, at most `MAX_SSRCS` because each was authenticated.
    former: Vec<u32>,
    pub(crate) muted: bool,
    pub(crate) reception: Reception,
    /// Smoothed loudness in dB above silence, 0 to 127.
    score: f32,
    pub(crate) level: u8,
    last_voice: Option<Instant>,
    /// The room slot it holds, and since when.
    pub(crate) slot: Option<(usize, Instant)>,
    /// Increases when the content starts anew (another SSRC): sequence and timestamps are then unrelated to those before.
    pub(crate) generation: u32,
}

/// One packet, as far as the room is concerned.
pub(crate) struct Heard {
    pub(crate) level: Option<AudioLevel>,
    pub(crate) voice: bool,
    pub(crate) dtx: bool,
}

impl Source {
    pub(crate) fn new(config: SourceConfig) -> Self {
        let ssrc = config.ssrc;
        Self {
            config,
            ssrc,
            former: Vec::new(),
            muted: false,
            reception: Reception::new(crate::timeline::CLOCK_RATE),
            score: 0.0,
            level: 127,
            last_voice: None,
            slot: None,
            generation: 0,
        }
    }

    pub(crate) fn csrc(&self) -> u32 {
        self.config.csrc
    }

    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Is this authenticated packet ours? Binds the SSRC by MID (RFC 8843 §9.2), or by payload type while nothing is
    /// bound.
    pub(crate) fn accept(&mut self, header: &Header, packet: &[u8]) -> Result<(), Drop> {
        if header.payload_type != self.config.payload_type {
            return Err(Drop::UnknownSource);
        }
        if self.ssrc == Some(header.ssrc) {
            return Ok(());
        }
        let mid = self.config.mid_extension.and_then(|id| header.extension(packet, id));
        match (mid, self.ssrc) {
            (Some(mid), _) if mid != self.config.mid.as_bytes() => Err(Drop::UnknownSource),
            (None, Some(_)) => Err(Drop::UnknownSource),
            // Late ones from before a change, or a client that alternates: each change costs every receiver an event.
            _ if self.former.contains(&header.ssrc) => Err(Drop::UnknownSource),
            _ => {
                if let Some(before) = self.ssrc.replace(header.ssrc)
                    && self.reception.has_begun()
                {
                    self.former.push(before);
                }
                self.reception = Reception::new(crate::timeline::CLOCK_RATE);
                self.generation += 1;
                Ok(())
            }
        }
    }

    /// Take note of a packet's loudness (RFC 6464).
    pub(crate) fn hear(&mut self, now: Instant, header: &Header, packet: &[u8], payload_len: usize) -> Heard {
        let dtx = payload_len <= DTX_PAYLOAD;
        let level = self.config.level_extension.and_then(|id| header.extension(packet, id)).and_then(AudioLevel::parse);
        self.level = match level {
            Some(level) => level.level,
            None if dtx => 127,
            None => MID_LEVEL,
        };
        let voice = !dtx
            && match level {
                Some(level) => level.level < 127 && (level.voice || level.level <= VOICE_LEVEL),
                None => true,
            };
        let loudness = f32::from(127 - self.level);
        let share = if loudness > self.score { ATTACK } else { DECAY };
        self.score += (loudness - self.score) * share;
        if voice {
            self.last_voice = Some(now);
        }
        Heard { level, voice, dtx }
    }

    /// How long nothing was said; an hour stands for "never said anything".
    pub(crate) fn silent_for(&self, now: Instant) -> Duration {
        self.last_voice.map_or(Duration::from_secs(3600), |at| now.saturating_duration_since(at))
    }

    /// Loudness in dB for comparison; holders tire.
    pub(crate) fn rank(&self, now: Instant) -> f32 {
        let held = self.slot.map_or(0.0, |(_, since)| now.saturating_duration_since(since).as_secs_f32());
        self.score - (held * FATIGUE).min(MAX_FATIGUE)
    }
}
