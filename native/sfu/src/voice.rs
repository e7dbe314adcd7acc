//! How loud a voice is, and what follows from it: who may have a slot, who is speaking, what is silence.

use std::time::{Duration, Instant};

use crate::rtp::AudioLevel;
use crate::{RoomKey, WorkerId};

/// Loudness of a voice whose client sends no levels: a moderate one, so that it neither loses to a whisper nor wins over a
/// speaker.
const MID_LEVEL: u8 = 40;
/// Opus sends at most two bytes for a frame of silence (RFC 6716 §3.1: TOC and nothing, or one code-3 count).
const DTX_PAYLOAD: usize = 2;
/// Digital silence (RFC 6464 §3).
const SILENCE_LEVEL: u8 = 127;
/// Quieter than this (-dBov) is not speech: room tone through automatic gain control stays below.
const VOICE_LEVEL: u8 = 55;
/// Share of a new level in the running score when it rises: three packets (60 ms) to be heard as a speaker.
const ATTACK: f32 = 0.3;
/// And when it falls: about 400 ms, longer than a pause between words.
const DECAY: f32 = 0.05;
/// Decibels a second that who talks in a slot tires, at most `MAX_FATIGUE`: someone who has talked for long gives way to
/// someone equally loud, and who claims to be loudest all the time, to anyone who waits two minutes.
const FATIGUE: f32 = 0.5;
const MAX_FATIGUE: f32 = 60.0;
/// And rests, without a slot: twice as fast, so that two equals take turns and nobody is kept out for long.
const REST: f32 = 1.0;
/// Silent packets forwarded before a voice is left out until it speaks again: receivers decode silence, and then nothing.
const SILENT_PACKETS: u8 = 3;
/// Packets of voice in a row, give or take, until somebody is said to speak: a click is shorter.
const SPEAKS_AFTER: u8 = 3;
/// Said to speak until this long after the last packet of voice: a pause between sentences is longer.
pub(crate) const SPEAKS_FOR: Duration = Duration::from_millis(500);

pub(crate) struct Voice {
    pub(crate) csrc: u32,
    pub(crate) room: RoomKey,
    /// The worker whose peer it is; None: ours.
    pub(crate) origin: Option<WorkerId>,
    /// The room slot it holds, and since when.
    pub(crate) slot: Option<(usize, Instant)>,
    /// It was said to speak.
    pub(crate) speaking: bool,
    /// Smoothed loudness in dB above silence, 0 to 127.
    score: f32,
    fatigue: f32,
    judged: Instant,
    last_voice: Option<Instant>,
    voiced: u8,
    silent: u8,
    /// Generation and segment of the newest packet, and its index, once there is one.
    place: (u32, u32),
    highest: Option<u64>,
}

/// One packet, as far as the room is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) voice: bool,
    /// Nothing at all: DTX, or digital silence.
    pub(crate) silent: bool,
}

impl Heard {
    pub(crate) fn new(level: Option<AudioLevel>, frame_len: usize) -> Self {
        let dtx = frame_len <= DTX_PAYLOAD;
        let silent = dtx || level.is_some_and(|level| level.level == SILENCE_LEVEL);
        let voice = !silent && level.is_none_or(|level| level.voice || level.level <= VOICE_LEVEL);
        Self { voice, silent }
    }
}

/// The level that stands for a packet that has none.
pub(crate) fn level_of(level: Option<AudioLevel>, heard: Heard) -> u8 {
    match level {
        Some(level) => level.level,
        None if heard.silent => SILENCE_LEVEL,
        None => MID_LEVEL,
    }
}

/// What is to be done with a packet of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Forward,
    /// It comes after newer ones, and fits where it was sent. Nobody begins with it.
    Late,
    /// What came before it was left out: it joins what was sent last.
    Join,
    /// The content begins anew, under other numbers.
    Renew,
    /// More silence than anyone needs.
    LeaveOut,
}

impl Voice {
    pub(crate) fn new(csrc: u32, room: RoomKey, origin: Option<WorkerId>, now: Instant) -> Self {
        Self {
            csrc,
            room,
            origin,
            slot: None,
            speaking: false,
            score: 0.0,
            fatigue: 0.0,
            judged: now,
            last_voice: None,
            voiced: 0,
            silent: 0,
            place: (0, 0),
            highest: None,
        }
    }

    /// Take note of a packet's loudness (RFC 6464).
    pub(crate) fn hear(&mut self, now: Instant, level: Option<AudioLevel>, heard: Heard) {
        let loudness = f32::from(SILENCE_LEVEL - level_of(level, heard));
        let share = if loudness > self.score { ATTACK } else { DECAY };
        self.score += (loudness - self.score) * share;
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.judged, now)).as_secs_f32();
        match self.slot {
            Some(_) if heard.voice => self.fatigue = (self.fatigue + passed * FATIGUE).min(MAX_FATIGUE),
            Some(_) => {}
            None => self.fatigue = (self.fatigue - passed * REST).max(0.0),
        }
        if heard.voice {
            self.last_voice = Some(now);
            self.voiced = (self.voiced + 1).min(SPEAKS_AFTER);
        } else {
            self.voiced = self.voiced.saturating_sub(1);
        }
    }

    /// For each packet, after `hear`: `place` is the generation and segment that its source is in.
    pub(crate) fn passage(&mut self, heard: Heard, place: (u32, u32), index: u64) -> Passage {
        let renews = self.place.0 != place.0;
        // Joined behind newer ones, a late packet would go back in time.
        let late = !renews && self.highest.is_some_and(|highest| index <= highest);
        let was_silent = self.silent;
        if !late {
            self.silent = if heard.silent { (was_silent + 1).min(SILENT_PACKETS + 1) } else { 0 };
        }
        let leaves_out = self.silent > SILENT_PACKETS;
        if leaves_out || late {
            return if leaves_out { Passage::LeaveOut } else { Passage::Late };
        }
        let joins = was_silent > SILENT_PACKETS || self.place != place;
        self.place = place;
        self.highest = Some(index);
        match (renews, joins) {
            (true, _) => Passage::Renew,
            (_, true) => Passage::Join,
            _ => Passage::Forward,
        }
    }

    /// Its source fell silent after the packet `index` of `generation`: what still comes of before is late.
    pub(crate) fn fell_silent(&mut self, generation: u32, index: Option<u64>) {
        if self.place.0 == generation {
            self.highest = self.highest.max(index);
        } else {
            (self.place.0, self.highest) = (generation, index);
        }
    }

    /// It has just begun to speak; true once.
    pub(crate) fn begins_to_speak(&mut self) -> bool {
        let begins = !self.speaking && self.slot.is_some() && self.voiced >= SPEAKS_AFTER;
        self.speaking |= begins;
        begins
    }

    /// It has spoken and does no longer; true once.
    pub(crate) fn ceases_to_speak(&mut self, now: Instant) -> bool {
        let ceases = self.speaking && (self.slot.is_none() || self.silent_for(now) >= SPEAKS_FOR);
        self.speaking &= !ceases;
        ceases
    }

    /// How long nothing was said; an hour stands for "never said anything".
    pub(crate) fn silent_for(&self, now: Instant) -> Duration {
        self.last_voice.map_or(Duration::from_secs(3600), |at| now.saturating_duration_since(at))
    }

    /// Loudness in dB for comparison; holders tire.
    pub(crate) fn rank(&self) -> f32 {
        self.score - self.fatigue
    }

    /// Loudness in dB, tired or not.
    pub(crate) fn loudness(&self) -> f32 {
        self.score
    }
}
