//! A room: its members here, and who holds its slots.
//!
//! Each room has one home, the worker that decides. Elsewhere it is a replica, which sends its members' voices home and
//! gives its members what comes from there.

use std::time::{Duration, Instant};

use slotmap::SlotMap;

use crate::history::History;
use crate::timeline::Timeline;
use crate::video::workers::Shown;
use crate::voice::Voice;
use crate::{PeerKey, RoomId, TrackKey, VoiceKey, WorkerId, WorkerSet};

/// A holder that said nothing for this long gives its slot to who does: the longest pause inside a word.
const PREEMPT_AFTER: Duration = Duration::from_millis(200);
/// While every holder talks, a slot changes hands only to someone clearly louder, in dB.
const OUTRANKED_BY: f32 = 9.0;
/// And never from someone who has just begun.
const MIN_HOLD: Duration = Duration::from_secs(2);
/// Frames of silence after a release: NetEq takes its next decision in silence instead of stretching the last vowel.
pub(crate) const SILENT_FRAMES: u8 = 3;
/// One Opus frame.
pub(crate) const FRAME: Duration = Duration::from_millis(20);
/// Another is the dominant speaker only after having been louder by this much, in dB,
const DOMINANT_BY: f32 = 6.0;
/// or alone in speaking, for this long.
const DOMINANT_AFTER: Duration = Duration::from_millis(600);

/// Silence still to be sent for content that is over.
pub(crate) struct Release {
    pub(crate) frames: u8,
    pub(crate) due: Instant,
}

#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) holder: Option<VoiceKey>,
    /// Whose voice the content is, or was.
    pub(crate) csrc: u32,
    /// Increases with each new content.
    pub(crate) epoch: u32,
    /// Increases where a content goes on after something was left out.
    pub(crate) segment: u32,
    pub(crate) timeline: Timeline,
    pub(crate) release: Option<Release>,
    /// While there are receivers who may ask for a packet again.
    pub(crate) history: Option<Box<History>>,
}

pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) home: WorkerId,
    pub(crate) members: Vec<PeerKey>,
    /// None before the first voice.
    pub(crate) slots: Vec<Slot>,
    /// The other workers with members of this room, known at home.
    pub(crate) replicas: WorkerSet,
    /// Voices of their members.
    pub(crate) guests: usize,
    /// Cameras and screens of its members.
    pub(crate) tracks: Vec<TrackKey>,
    /// Everything that is shared, known at home.
    pub(crate) shown: Vec<Shown>,
    /// Members that may ask for packets again.
    pub(crate) repairable: usize,
    /// A timer for its silence is set.
    pub(crate) silencing: bool,
    /// A timer for its speakers is set.
    pub(crate) watched: bool,
    pub(crate) dominant: Option<VoiceKey>,
    challenger: Option<(VoiceKey, Instant)>,
}

impl Room {
    pub(crate) fn new(id: RoomId, home: WorkerId) -> Self {
        Self {
            id,
            home,
            members: Vec::new(),
            slots: Vec::new(),
            replicas: WorkerSet::default(),
            guests: 0,
            tracks: Vec::new(),
            shown: Vec::new(),
            repairable: 0,
            silencing: false,
            watched: false,
            dominant: None,
            challenger: None,
        }
    }

    /// The slots exist from the first voice on: most rooms are quiet. `epoch`: at random, so that no content of a home that
    /// is gone is taken for one of this.
    pub(crate) fn furnish(&mut self, slots: usize, epoch: impl FnOnce() -> u32) {
        if self.slots.is_empty() {
            let epoch = epoch();
            self.slots.resize_with(slots, || Slot { epoch, ..Slot::default() });
        }
    }

    /// The slot for a talking `candidate` that holds none, if it may have one, and whose it was.
    pub(crate) fn choose(
        &self,
        now: Instant,
        candidate: &Voice,
        talks: bool,
        voices: &SlotMap<VoiceKey, Voice>,
    ) -> Option<(usize, Option<VoiceKey>)> {
        // The slot that was free for longest comes last in nobody's memory: prefer one without silence still to send.
        let free = |slot: &Slot| slot.holder.is_none();
        if let Some(index) = self
            .slots
            .iter()
            .position(|slot| free(slot) && slot.release.is_none())
            .or_else(|| self.slots.iter().position(free))
        {
            return Some((index, None));
        }
        if !talks {
            return None;
        }
        let holders = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = slot.holder?;
            Some((index, key, voices.get(key)?))
        });
        let give_way = holders.filter(|(_, _, holder)| {
            let held = holder.slot.map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(since));
            holder.silent_for(now) >= PREEMPT_AFTER
                || (held >= MIN_HOLD && candidate.rank() >= holder.rank() + OUTRANKED_BY)
        });
        let (index, key, _) = give_way.max_by(|a, b| {
            let silence = a.2.silent_for(now).max(PREEMPT_AFTER).cmp(&b.2.silent_for(now).max(PREEMPT_AFTER));
            silence.then_with(|| b.2.rank().total_cmp(&a.2.rank()))
        })?;
        Some((index, Some(key)))
    }

    /// `holder` has `slot` from the packet stamped `timestamp` on.
    pub(crate) fn hold(&mut self, clock: u32, slot: usize, holder: VoiceKey, csrc: u32, timestamp: u32) {
        let slot = &mut self.slots[slot];
        slot.holder = Some(holder);
        slot.csrc = csrc;
        slot.epoch = slot.epoch.wrapping_add(1);
        slot.segment = 0;
        slot.release = None;
        slot.timeline.switch(clock, timestamp);
    }

    /// Who speaks loudest, with hysteresis, among those who speak; true when that changed.
    pub(crate) fn judge(&mut self, now: Instant, voices: &SlotMap<VoiceKey, Voice>) -> bool {
        if self.dominant.is_some_and(|key| !voices.contains_key(key)) {
            self.dominant = None;
        }
        let speakers = self.slots.iter().filter_map(|slot| {
            let key = slot.holder?;
            voices.get(key).filter(|voice| voice.speaking).map(|voice| (key, voice))
        });
        let Some((loudest, voice)) = speakers.max_by(|a, b| a.1.loudness().total_cmp(&b.1.loudness())) else {
            self.challenger = None;
            return false;
        };
        let Some(present) = self.dominant.and_then(|key| voices.get(key)) else {
            self.dominant = Some(loudest);
            return true;
        };
        let challenges = self.dominant != Some(loudest)
            && (!present.speaking || voice.loudness() >= present.loudness() + DOMINANT_BY);
        if !challenges {
            self.challenger = None;
            return false;
        }
        match self.challenger {
            Some((key, since)) if key == loudest => {
                let wins = now.saturating_duration_since(since) >= DOMINANT_AFTER;
                if wins {
                    self.dominant = Some(loudest);
                    self.challenger = None;
                }
                wins
            }
            _ => {
                self.challenger = Some((loudest, now));
                false
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.replicas.is_empty() && self.guests == 0 && self.shown.is_empty()
    }
}
