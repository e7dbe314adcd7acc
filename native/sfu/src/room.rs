//! A room: its members, and who of them holds its slots.

use std::time::{Duration, Instant};

use slotmap::SlotMap;

use crate::peer::Peer;
use crate::receiver::Content;
use crate::source::Source;
use crate::timeline::Timeline;
use crate::{PeerKey, RoomId};

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

pub(crate) struct Holder {
    pub(crate) peer: PeerKey,
    pub(crate) generation: u32,
}

/// Silence still to be sent for content that is over.
pub(crate) struct Release {
    pub(crate) frames: u8,
    pub(crate) due: Instant,
}

pub(crate) struct Slot {
    pub(crate) holder: Option<Holder>,
    pub(crate) timeline: Timeline,
    pub(crate) epoch: u32,
    pub(crate) release: Option<Release>,
}

pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) members: Vec<PeerKey>,
    pub(crate) slots: Vec<Slot>,
}

impl Room {
    /// One random `offset` for all slots: a receiver with few slots moves from one timeline to another.
    pub(crate) fn new(id: RoomId, slots: usize, base: Instant, offset: u32) -> Self {
        let slots = (0..slots)
            .map(|_| Slot { holder: None, timeline: Timeline::new(base, offset), epoch: 0, release: None })
            .collect();
        Self { id, members: Vec::new(), slots }
    }

    /// The slot for a talking `candidate` that holds none, if it may have one, and whose it was.
    pub(crate) fn choose(
        &self,
        now: Instant,
        candidate: &Source,
        talks: bool,
        peers: &SlotMap<PeerKey, Peer>,
    ) -> Option<(usize, Option<PeerKey>)> {
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
            let key = slot.holder.as_ref()?.peer;
            let source = peers.get(key)?.source.as_ref()?;
            Some((index, key, source))
        });
        let (index, key, quietest) = holders.max_by(|a, b| {
            let silence = a.2.silent_for(now).max(PREEMPT_AFTER).cmp(&b.2.silent_for(now).max(PREEMPT_AFTER));
            silence.then_with(|| b.2.rank(now).total_cmp(&a.2.rank(now)))
        })?;
        let held = quietest.slot.map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(since));
        let gives_way = quietest.silent_for(now) >= PREEMPT_AFTER
            || (held >= MIN_HOLD && candidate.rank(now) >= quietest.rank(now) + OUTRANKED_BY);
        gives_way.then_some((index, Some(key)))
    }

    /// Content identity of a slot as it is now.
    pub(crate) fn content(&self, slot: usize) -> Content {
        (slot, self.slots[slot].epoch)
    }

    /// `peer` holds `slot` from the packet stamped `timestamp` on.
    pub(crate) fn hold(&mut self, now: Instant, slot: usize, peer: PeerKey, generation: u32, timestamp: u32) {
        let slot = &mut self.slots[slot];
        slot.holder = Some(Holder { peer, generation });
        slot.epoch = slot.epoch.wrapping_add(1);
        slot.release = None;
        slot.timeline.switch(now, timestamp);
    }

    /// The holder is gone or silenced: a little silence, then nothing.
    pub(crate) fn release(&mut self, now: Instant, slot: usize) {
        let slot = &mut self.slots[slot];
        if slot.holder.take().is_some() {
            slot.release = Some(Release { frames: SILENT_FRAMES, due: now });
        }
    }

    pub(crate) fn next_release(&self) -> Option<Instant> {
        self.slots.iter().filter_map(|slot| slot.release.as_ref()).map(|release| release.due).min()
    }
}
