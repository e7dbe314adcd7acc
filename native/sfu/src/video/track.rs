//! A camera or a screen in a room: its encodings as they arrive, and who watches.

use std::time::{Duration, Instant};

use super::cache::{Cache, Facts};
use super::glance::{dimensions, glance};
use super::h264::has_parameters;
use super::keyframes::KeyFrames;
use super::rates::Rates;
use super::switch::{Identity, Level};
use super::{Codec, Glance, Structure};
use crate::drops::Drop;
use crate::{PeerKey, RoomKey, WorkerId};

/// RFC 7741 §6.1 and the others: video is stamped at 90 kHz.
pub(crate) const CLOCK_RATE: u32 = 90_000;
/// An encoding that sends nothing for this long is not there: the publisher cannot, or will not.
const SILENT_AFTER: Duration = Duration::from_millis(1200);
/// The same of a screen, which may not change for a while.
const STILL_FOR: Duration = Duration::from_secs(6);
/// One that is wanted again has this long to come back.
const RETURNS_WITHIN: Duration = Duration::from_secs(3);
/// Encodings that nobody has wanted for this long are paused.
const PAUSED_AFTER: Duration = Duration::from_secs(5);
/// What encodings cost before anything is known, as browsers set them: 180p, 360p and 720p.
const GUESSES: [u64; 3] = [150_000, 500_000, 1_700_000];
/// How fast the delay baseline of an encoding follows a delay that stays higher: 1/1024 of the difference a frame.
const LEAK: i64 = 1024;

/// Where a track comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// One of our peers: which, and the place among its videos.
    Peer(PeerKey, usize),
    /// Another worker's.
    Elsewhere(WorkerId),
}

pub(crate) struct Encoding {
    pub(crate) cache: Cache,
    pub(crate) codec: Option<Codec>,
    /// Of the dependency descriptors of late.
    pub(crate) structure: Structure,
    /// Increases when it begins anew, under other numbers.
    pub(crate) epoch: u32,
    pub(crate) rates: Rates,
    pub(crate) key_frames: KeyFrames,
    /// Pixels, once a key frame has said so.
    pub(crate) size: Option<(u16, u16)>,
    pub(crate) last_at: Option<Instant>,
    /// When somebody last wanted it, and when it was last told to come back.
    wanted_at: Instant,
    resumed_at: Instant,
    pub(crate) active: bool,
    /// Its timestamp plus this is the node's clock, as far as its first packet knew.
    to_clock: Option<u32>,
    /// How far it lags behind that at its smallest, in ticks times `LEAK`.
    lag: i64,
    /// Of the last sender report: NTP time, and the same instant in its timestamps.
    pub(crate) report: Option<(u64, u32)>,
}

impl Encoding {
    fn new(now: Instant) -> Self {
        Self {
            cache: Cache::default(),
            codec: None,
            structure: Structure::new(),
            epoch: 0,
            rates: Rates::default(),
            key_frames: KeyFrames::default(),
            size: None,
            last_at: None,
            wanted_at: now,
            resumed_at: now,
            active: true,
            to_clock: None,
            lag: 0,
            report: None,
        }
    }

    /// Look at a packet that has come.
    pub(crate) fn look(
        &mut self,
        codec: Codec,
        index: u64,
        timestamp: u32,
        marker: bool,
        descriptor: Option<&[u8]>,
        payload: &[u8],
    ) -> Result<Glance, Drop> {
        let mut glance = match descriptor {
            Some(descriptor) => self.structure.glance(descriptor, marker)?,
            None => glance(codec, payload, marker)?,
        };
        if codec == Codec::H264 && descriptor.is_none() {
            // A picture may have many slices: only before the first of them is nothing of it. Where that cannot be seen,
            // parameter sets come first.
            let before = index.checked_sub(1).and_then(|before| self.cache.get(before));
            glance.key &= before.map_or_else(|| has_parameters(payload), |before| before.timestamp != timestamp);
        }
        if glance.key && glance.begins {
            let size = match descriptor {
                Some(_) => {
                    self.structure.layers().highest().and_then(|(spatial, _)| self.structure.resolution(spatial))
                }
                None => dimensions(codec, payload),
            };
            self.size = size.or(self.size);
        }
        Ok(glance)
    }

    /// Other numbers from now on.
    pub(crate) fn renew(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.cache = Cache::default();
        self.structure = Structure::new();
        self.to_clock = None;
        self.report = None;
    }

    /// Does it send, or may it be expected to?
    fn is_there(&self, now: Instant, silent_after: Duration) -> bool {
        let recent = |at: Instant, within| now.saturating_duration_since(at) < within;
        let sends = self.last_at.is_some_and(|at| recent(at, silent_after));
        sends || !self.active || recent(self.resumed_at, RETURNS_WITHIN)
    }

    pub(crate) fn to_clock(&self) -> Option<u32> {
        self.to_clock
    }

    /// In the node's clock, what this encoding's timestamps for now are (RFC 3550 §6.4.1).
    pub(crate) fn lag(&self) -> u32 {
        (self.lag / LEAK) as u32
    }
}

/// One thing that a receiver may be sent of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) level: Level,
    /// Bits a second.
    pub(crate) rate: u64,
    /// Pixels.
    pub(crate) width: u16,
}

/// The most offers of a track: three encodings of three temporal layers, or one of as many by spatial ones.
pub(crate) const MAX_OFFERS: usize = 16;

pub(crate) struct Track {
    pub(crate) csrc: u32,
    pub(crate) room: RoomKey,
    pub(crate) origin: Origin,
    pub(crate) screen: bool,
    /// It is shared now.
    pub(crate) live: bool,
    pub(crate) encodings: Vec<Encoding>,
    /// Streams that show it: peer and slot.
    pub(crate) watchers: Vec<(PeerKey, u8)>,
    /// Other workers where it is watched, and which of its encodings they want.
    pub(crate) remotes: Vec<(WorkerId, u8)>,
    /// A timer for it is set.
    pub(crate) watched: bool,
    /// What may be had of it, from the least on.
    offers: Vec<Offer>,
    /// Encodings that are to be sent, as the publisher was told.
    pub(crate) told: u8,
}

impl Track {
    pub(crate) fn new(now: Instant, csrc: u32, room: RoomKey, origin: Origin, screen: bool, encodings: usize) -> Self {
        let encodings: Vec<_> = (0..encodings).map(|_| Encoding::new(now)).collect();
        let told = ((1u16 << encodings.len()) - 1) as u8;
        let (watchers, offers) = (Vec::new(), Vec::with_capacity(MAX_OFFERS));
        Self {
            csrc,
            room,
            origin,
            screen,
            live: false,
            encodings,
            watchers,
            remotes: Vec::new(),
            watched: false,
            offers,
            told,
        }
    }

    /// It is shared from now on: what it has is expected to come.
    pub(crate) fn go_live(&mut self, now: Instant) {
        self.live = true;
        for encoding in &mut self.encodings {
            (encoding.wanted_at, encoding.resumed_at) = (now, now);
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.origin, Origin::Peer(..))
    }

    pub(crate) fn identity(&self, encoding: u8) -> Option<Identity> {
        let at = self.encodings.get(usize::from(encoding))?;
        Some(Identity { encoding, epoch: at.epoch, codec: at.codec? })
    }

    /// A packet has come. `clock`: the node's, at 90 kHz.
    pub(crate) fn keep(
        &mut self,
        encoding: u8,
        clock: u32,
        facts: Facts,
        extensions: &[u8],
        payload: &[u8],
    ) -> Result<(Identity, u32), Drop> {
        let Glance { begins, key, spatial, temporal, .. } = facts.glance;
        let place = usize::from(encoding);
        let at = self.encodings.get_mut(place).ok_or(Drop::UnknownSource)?;
        if at.cache.get(facts.index).is_some() {
            return Err(Drop::Replay);
        }
        if at.codec.is_some_and(|codec| codec != facts.codec) && !(key && begins) && !at.cache.is_empty() {
            // Of the codec before, overtaken; or of one whose key frame is still to come.
            at.key_frames.need();
            return Err(Drop::Late);
        }
        let to_clock = match at.to_clock {
            Some(to_clock) => to_clock,
            None => self.align(place, clock, facts.timestamp),
        };
        let at = &mut self.encodings[place];
        at.to_clock = Some(to_clock);
        at.codec = Some(facts.codec);
        let is_new = at.last_at.is_none();
        at.last_at = Some(facts.at);
        if !payload.is_empty() {
            at.rates.received(spatial, temporal, payload.len() + 40);
        }
        if begins {
            let stamp = facts.timestamp.wrapping_add(to_clock);
            let lag = i64::from(clock.wrapping_sub(stamp) as i32) * LEAK;
            at.lag += if lag < at.lag || is_new { lag - at.lag } else { (lag - at.lag) / LEAK };
        }
        if key && begins {
            at.key_frames.came(facts.at);
        }
        let identity = Identity { encoding, epoch: at.epoch, codec: facts.codec };
        at.cache.keep(facts, extensions, payload)?;
        Ok((identity, to_clock))
    }

    /// What is to be added to an encoding's timestamps to have the node's clock: by sender reports, as another of its
    /// encodings has it, or else by arrival.
    fn align(&self, encoding: usize, clock: u32, timestamp: u32) -> u32 {
        let mine = self.encodings[encoding].report;
        let other = self.encodings.iter().enumerate().find_map(|(index, other)| {
            let theirs = other.report.zip(other.to_clock).filter(|_| index != encoding)?;
            Some(theirs)
        });
        match (mine, other) {
            (Some((my_ntp, my_stamp)), Some(((their_ntp, their_stamp), to_clock))) => {
                // Both stamps at my report's instant.
                let seconds = my_ntp.wrapping_sub(their_ntp) as i64;
                let ticks = ((i128::from(seconds) * i128::from(CLOCK_RATE)) >> 32) as i64 as u32;
                their_stamp.wrapping_add(ticks).wrapping_add(to_clock).wrapping_sub(my_stamp)
            }
            _ => clock.wrapping_sub(timestamp),
        }
    }

    /// A sender report of an encoding (RFC 3550 §6.4.1). The first aligns it with those that had one before.
    pub(crate) fn reported(&mut self, encoding: usize, ntp: u64, stamp: u32) {
        let first = self.encodings[encoding].report.is_none();
        self.encodings[encoding].report = Some((ntp, stamp));
        if first && let Some(before) = self.encodings[encoding].to_clock {
            let aligned = self.align(encoding, 0, before.wrapping_neg());
            // Further off than a network would delay is no clock to go by.
            if (aligned.wrapping_sub(before) as i32).unsigned_abs() < 2 * CLOCK_RATE {
                self.encodings[encoding].to_clock = Some(aligned);
            }
        }
    }

    /// Look at what its layers cost, and whether they are there.
    pub(crate) fn look(&mut self, now: Instant) {
        let count = self.encodings.len();
        self.offers.clear();
        let silent_after = if self.screen { STILL_FOR } else { SILENT_AFTER };
        // Where all are silent, none is worse than the others: what is shown stays.
        let all_silent = !self.encodings.iter().any(|encoding| encoding.is_there(now, silent_after));
        for (index, encoding) in self.encodings.iter_mut().enumerate() {
            encoding.rates.look(now);
            if !(encoding.is_there(now, silent_after) || all_silent && encoding.last_at.is_some()) {
                continue;
            }
            let (spatial, temporal) = encoding.rates.highest();
            let width = encoding.size.map_or(1280 >> (count - 1 - index), |(width, _)| width);
            for layer in 0..=spatial {
                for rest in 0..=temporal {
                    if self.offers.len() == MAX_OFFERS {
                        return;
                    }
                    let guess = GUESSES[index.min(2)] >> (temporal - rest);
                    let known = encoding.rates.up_to(layer, rest);
                    self.offers.push(Offer {
                        level: Level { encoding: index as u8, spatial: layer, temporal: rest },
                        rate: if encoding.rates.is_known() { known } else { guess },
                        width: width >> (spatial - layer),
                    });
                }
            }
        }
    }

    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// Some watcher is to get this encoding.
    pub(crate) fn want(&mut self, now: Instant, encoding: u8) {
        if let Some(wanted) = self.encodings.get_mut(usize::from(encoding)) {
            wanted.wanted_at = now;
            if !wanted.active {
                wanted.active = true;
                wanted.resumed_at = now;
            }
        }
    }

    /// Which encodings are wanted: bit i is encoding i, and bit 0 always stays.
    pub(crate) fn wanted(&mut self, now: Instant) -> u8 {
        let elsewhere = self.remotes.iter().fold(0, |all, (_, wanted)| all | wanted);
        for encoding in (0..self.encodings.len() as u8).filter(|encoding| elsewhere >> encoding & 1 == 1) {
            self.want(now, encoding);
        }
        let mut wanted = 1;
        for (index, encoding) in self.encodings.iter_mut().enumerate().skip(1) {
            encoding.active = now.saturating_duration_since(encoding.wanted_at) < PAUSED_AFTER;
            wanted |= u8::from(encoding.active) << index;
        }
        wanted
    }

    /// Of which encodings the publisher is to be asked for a key frame now, by bits; they count as asked.
    pub(crate) fn ask(&mut self, now: Instant) -> u8 {
        let mut asked = 0;
        for (index, encoding) in self.encodings.iter_mut().enumerate() {
            asked |= u8::from(self.live && encoding.key_frames.ask(now)) << index;
        }
        asked
    }

    /// Bytes of memory of its caches.
    pub(crate) fn memory(&self) -> usize {
        self.encodings.iter().map(|encoding| encoding.cache.memory()).sum()
    }
}
