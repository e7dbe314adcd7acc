//! What a peer watches: its slots, what waits to be sent, and how fast it may go.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use congestion::{Bitrate, Estimator, Pacer, ProbeId};
use slotmap::SlotMap;

use super::allocation::MAX_VIDEO_SLOTS;
use super::cache::Packet;
use super::flight::Flight;
use super::stream::{Placed, Sealing, TAG, VideoStream};
use super::track::Track;
use crate::counters::Counters;
use crate::peer::Peer;
use crate::{Extensions, MAX_DATAGRAM, Output, TrackKey, VideoConfig, Wish};

/// Packets that may wait: more than a second of what anyone can take.
const MOST_WAITING: usize = 2048;
/// Repairs may take this share of the bandwidth, in percent; the rest of a path that loses more is better spent on fewer
/// layers.
const REPAIR_SHARE: u64 = 50;
/// And come in bursts of this much.
const REPAIR_BURST: Duration = Duration::from_millis(500);

/// A receiver with less than it wishes for is probed this often: soon enough for who waits, and a burst of 15 ms in it.
const SEEKS_EVERY: Duration = Duration::from_millis(1500);
/// Share of what came through a full path that is sent on: its queue is to drain.
const OF_WHAT_CAME: f64 = 0.8;
/// While too much is under way, whether it still is is seen this often.
const HELD_UP: Duration = Duration::from_millis(10);

/// A packet that may be sent.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) slot: u8,
    /// It was sent before.
    pub(crate) repeat: bool,
    pub(crate) placed: Placed,
}

pub(crate) struct VideoReceiver {
    pub(crate) ids: Extensions,
    /// The client tells when each packet came; else it may tell REMB, or nothing but losses.
    pub(crate) transport_cc: bool,
    pub(crate) streams: Vec<VideoStream>,
    pub(crate) wishes: [Option<Wish>; MAX_VIDEO_SLOTS],
    pub(crate) estimator: Estimator,
    pub(crate) pacer: Pacer,
    pub(crate) flight: Flight,
    queue: VecDeque<Waiting>,
    /// Bytes of repairs that may be sent, and until when that is reckoned.
    repairs: u64,
    filled: Instant,
    /// A timer to go on is set.
    pub(crate) paced: bool,
    /// A timer to look at everything is set.
    pub(crate) looked_after: bool,
    /// Bytes sent since the last look, and then.
    pub(crate) sent: u64,
    pub(crate) looked: Instant,
    /// Bits a second of what was shared out.
    pub(crate) given: u64,
    /// Since when it gets less than it could use, or when that was last looked into.
    pub(crate) lacks: Option<Instant>,
    /// Bits a second that it could use.
    pub(crate) useful: u64,
}

impl VideoReceiver {
    pub(crate) fn new(now: Instant, config: VideoConfig, mut sequence: impl FnMut() -> u16) -> Self {
        let VideoConfig { slots, extensions, transport_cc, .. } = config;
        let streams = slots.into_iter().map(|slot| VideoStream::new(slot, sequence(), sequence())).collect();
        Self {
            ids: extensions,
            transport_cc: transport_cc && extensions.transport_cc.is_some(),
            streams,
            wishes: [None; MAX_VIDEO_SLOTS],
            estimator: Estimator::new(now),
            pacer: Pacer::new(now),
            flight: Flight::default(),
            queue: VecDeque::new(),
            repairs: 0,
            filled: now,
            paced: false,
            looked_after: false,
            sent: 0,
            looked: now,
            given: 0,
            lacks: None,
            useful: 0,
        }
    }

    /// What has not been sent of a stream need not be any more, and its numbers are free again: those in a row up to the
    /// newest, for no number is given out twice that a packet has left with.
    pub(crate) fn withdraw(&mut self, slot: u8) {
        let switch = &mut self.streams[usize::from(slot)].switch;
        for place in (0..self.queue.len()).rev() {
            let waiting = &self.queue[place];
            if waiting.slot == slot && !waiting.repeat && waiting.placed.place.out_index == switch.newest() {
                self.queue.remove(place);
                switch.withdraw_newest();
            }
        }
    }

    /// What may be shared out, and be sent at that pace: the estimate, or less where it has not yet seen that the path is full.
    pub(crate) fn pace(&mut self, now: Instant) -> Bitrate {
        let target = self.estimator.target();
        match self.flight.carries(now).map(|carried| Bitrate(carried).scale(OF_WHAT_CAME)) {
            Some(carried) if carried < target => {
                // The pacer hurries by itself, which is what a full path needs least.
                self.pacer.set_rate(carried.scale(0.5));
                carried
            }
            _ => {
                self.pacer.set_rate(target);
                target
            }
        }
    }

    /// What waits to be repeated of a stream is of no use any more.
    pub(crate) fn forget_repairs(&mut self, slot: u8) {
        self.queue.retain(|waiting| waiting.slot != slot || !waiting.repeat);
    }

    /// What is shared out is less than what is wished for: see now and then whether the path carries more. Layers come in
    /// steps, and below one nothing is sent that would show it.
    pub(crate) fn seek(&mut self, now: Instant) {
        if self.given >= self.useful {
            self.lacks = None;
        } else if now.saturating_duration_since(*self.lacks.get_or_insert(now)) >= SEEKS_EVERY {
            self.lacks = Some(now);
            self.estimator.seek();
        }
    }

    /// Begin a probe, if it is time for one.
    pub(crate) fn probe(&mut self, now: Instant) {
        if self.pacer.probe().is_none()
            && let Some(probe) = self.estimator.probe(now)
        {
            self.pacer.begin_probe(now, &probe);
        }
    }

    /// A repair of `len` bytes may be sent.
    pub(crate) fn may_repair(&mut self, now: Instant, len: usize) -> bool {
        let rate = self.estimator.target().0 * REPAIR_SHARE / 100 / 8;
        let passed = now.saturating_duration_since(self.filled);
        self.filled = now;
        let most = rate * REPAIR_BURST.as_millis() as u64 / 1000;
        self.repairs =
            (self.repairs + rate * passed.as_micros() as u64 / 1_000_000).min(most.max(MAX_DATAGRAM as u64 * 8));
        match self.repairs.checked_sub(len as u64) {
            Some(left) => self.repairs = left,
            None => return false,
        }
        true
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Nothing waits and nothing forbids: a packet may go at once.
    pub(crate) fn is_clear(&mut self, now: Instant) -> bool {
        self.queue.is_empty() && !self.flight.is_full(now) && self.pacer.may_send(now)
    }

    pub(crate) fn wait(&mut self, slot: u8, placed: Placed) {
        if self.queue.len() < MOST_WAITING {
            self.queue.push_back(Waiting { slot, repeat: false, placed });
        }
    }

    /// A repair goes first: what follows cannot be decoded without.
    pub(crate) fn wait_repeat(&mut self, slot: u8, placed: Placed) {
        if self.queue.len() < MOST_WAITING {
            let before = self.queue.iter().take_while(|waiting| waiting.repeat).count();
            self.queue.insert(before, Waiting { slot, repeat: true, placed });
        }
    }
}

/// The transport-wide sequence number of a packet that leaves.
fn number(now: Instant, len: usize, probe: Option<ProbeId>, estimator: &mut Estimator, flight: &mut Flight) -> u16 {
    let number = estimator.sent(now, len, probe);
    flight.sent(now, number, len);
    number
}

/// Send one packet of video.
pub(crate) fn transmit(
    now: Instant,
    peer: &mut Peer,
    what: &Waiting,
    packet: Option<&Packet>,
    counters: &mut Counters,
    out: &mut impl Output,
) {
    let (Some(video), Some(srtp)) = (peer.video.as_deref_mut(), &peer.srtp) else { return };
    let VideoReceiver { ids, transport_cc, streams, estimator, pacer, flight, .. } = video;
    let Waiting { slot, repeat, placed } = what;
    let Some(stream) = streams.get_mut(usize::from(*slot)) else { return };
    let size = packet.map_or(0, |packet| packet.payload().len()) + 60 + TAG;
    let Some(to) = peer.ice.destination(size) else { return };
    let with = Sealing { ids, srtp: &srtp.outbound, transport_cc: *transport_cc };
    let probe = pacer.probe();
    let mut len = 0;
    out.send(to, |buf| {
        let number = |len| number(now, len, probe, estimator, flight);
        len = match packet {
            Some(packet) if *repeat => stream.seal_repeat(placed, packet, &with, number, buf),
            packet => stream.seal(placed, packet, &with, number, buf),
        };
        len
    });
    pacer.sent(len);
    video.sent += len as u64;
    peer.traffic.sent(len);
    counters.sent(len);
    if *repeat && len > 0 {
        counters.resent += 1;
    }
}

/// Send padding of one packet for a probe. False: there is nowhere to put it.
fn pad(now: Instant, peer: &mut Peer, counters: &mut Counters, out: &mut impl Output) -> bool {
    let (Some(video), Some(srtp)) = (peer.video.as_deref_mut(), &peer.srtp) else { return false };
    let VideoReceiver { ids, transport_cc, streams, estimator, pacer, flight, .. } = video;
    let Some(stream) = streams.iter_mut().find(|stream| stream.has_begun) else { return false };
    let Some(to) = peer.ice.destination(MAX_DATAGRAM / 4) else { return false };
    let with = Sealing { ids, srtp: &srtp.outbound, transport_cc: *transport_cc };
    let probe = pacer.probe();
    let mut len = 0;
    out.send(to, |buf| {
        len = stream.seal_padding(&with, |len| number(now, len, probe, estimator, flight), buf);
        len
    });
    pacer.sent(len);
    peer.traffic.sent(len);
    counters.sent(len);
    len > 0
}

/// Send what waits, as fast as it may. Returns when to go on; None: nothing waits.
pub(crate) fn pump(
    now: Instant,
    peer: &mut Peer,
    tracks: &SlotMap<TrackKey, Track>,
    counters: &mut Counters,
    out: &mut impl Output,
) -> Option<Instant> {
    loop {
        let video = peer.video.as_deref_mut()?;
        if !video.is_waiting() && video.pacer.probe().is_none() {
            return None;
        }
        if video.pacer.probe().is_none() && video.flight.is_full(now) {
            return Some(now + HELD_UP);
        }
        if !video.pacer.may_send(now) {
            return Some(video.pacer.due(now));
        }
        match video.queue.pop_front() {
            Some(what) => {
                let Placed { track, encoding, index, .. } = what.placed;
                let encoding = tracks.get(track).and_then(|track| track.encodings.get(usize::from(encoding)));
                match index {
                    None => transmit(now, peer, &what, None, counters, out),
                    Some(index) => {
                        // It may have waited for longer than it was kept: then it is lost, and known as such.
                        if let Some(packet) = encoding.and_then(|encoding| encoding.cache.get(index)) {
                            transmit(now, peer, &what, Some(packet), counters, out);
                        }
                    }
                }
            }
            None => {
                if !pad(now, peer, counters, out) {
                    return None; // the probe ends by itself
                }
            }
        }
    }
}

/// A share of a second.
pub(crate) fn bits_per_second(bytes: u64, over: Duration) -> Bitrate {
    let micros = over.as_micros().max(1) as u64;
    Bitrate(bytes * 8 * 1_000_000 / micros)
}

#[cfg(test)]
mod tests {
    use super::super::switch::{Place, Switch};
    use super::super::{Codec, Numbers};
    use super::*;
    use crate::VideoSlotConfig;

    #[test]
    fn numbers_are_withdrawn_in_a_row_from_the_newest_and_no_others() {
        let now = Instant::now();
        let slot = VideoSlotConfig { ssrc: 1, rtx_ssrc: 2, codecs: Vec::new() };
        let config = VideoConfig { slots: vec![slot], ..VideoConfig::default() };
        let mut video = VideoReceiver::new(now, config, || 0);
        video.streams[0].switch = Switch::new(105);
        let place = |out_index| Place { out_index, timestamp: 0, marker: false, numbers: Numbers::default() };
        // 102 and 103 have left, or are still to come; 99 came late.
        for out_index in [101, 104, 99, 105] {
            let (track, codec, place) = (TrackKey::default(), Codec::Vp8, place(out_index));
            video.wait(0, Placed { track, encoding: 0, codec, index: Some(1), place });
        }
        video.withdraw(0);
        let left: Vec<_> = video.queue.iter().map(|waiting| waiting.placed.place.out_index).collect();
        assert_eq!((left, video.streams[0].switch.newest()), (vec![101, 99], 103));
    }
}
