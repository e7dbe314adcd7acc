//! From an opened packet of video to everybody who watches: the hot path; and the timers of all that is not per packet.

use std::time::{Duration, Instant};

use congestion::Bitrate;

use super::allocation::{Demand, MAX_VIDEO_SLOTS, Share, allocate};
use super::cache::{Facts, Passed, pack};
use super::glance::{Glance, Numbers};
use super::layers::Layers;
use super::published::{Belongs, original};
use super::receiver::{Waiting, bits_per_second, pump, transmit};
use super::stream::{Placed, Told};
use super::switch::{Passage, Place};
use super::track::{Origin, Track};
use super::workers::RelayedVideo;
use crate::drops::Drop;
use crate::peer::Peer;
use crate::rtcp::{self, Writer};
use crate::rtp::Header;
use crate::sfu::{Sfu, Timer};
use crate::{Event, Limit, Note, Output, PeerKey, TrackKey};

/// How often what a peer watches is looked at: a reaction to a path that changes is not to wait longer.
const LOOK_AFTER: Duration = Duration::from_millis(100);
/// How often a camera or screen is looked at: key frames asked for again, layers that nobody wants.
const LOOK_AT: Duration = Duration::from_millis(100);
/// Bytes of extensions that are passed on.
const MAX_ELEMENTS: usize = 512;

/// A packet that holds nothing for a decoder, but a number.
pub(crate) const NOTHING: Glance = Glance {
    begins: false,
    ends: false,
    key: false,
    spatial: u8::MAX,
    temporal: u8::MAX,
    switch: Layers::NONE,
    needed: Layers::NONE,
    open: Layers::NONE,
    pictures: None,
    whole: false,
    numbers: Numbers { picture: None, long: false, tl0: None, key_index: None, frame: None },
};

impl Sfu {
    /// Which of a peer's cameras and screens an opened packet is of. It is told as arrived in any case.
    pub(crate) fn video_of(
        &mut self,
        now: Instant,
        key: PeerKey,
        header: &Header,
        packet: &[u8],
    ) -> Option<(usize, Belongs)> {
        let since = now.saturating_duration_since(self.clock.base());
        let upstream = self.peers[key].upstream.as_deref_mut()?;
        upstream.arrived(now, since, header, packet);
        let ids = upstream.ids;
        let published = upstream.published.iter_mut().enumerate();
        let belongs = published.into_iter().find_map(|(place, each)| Some((place, each.bind(header, packet, &ids)?)));
        if belongs.is_some_and(|(_, belongs)| belongs.is_first) {
            // Whoever has an SSRC keeps it: another who takes the same must not make it unfindable.
            self.by_ssrc.entry(header.ssrc).or_insert(key);
        }
        self.schedule_upstream(now, key);
        belongs
    }

    /// An opened packet of a camera or a screen.
    #[allow(clippy::too_many_arguments, reason = "a packet and all that is known of it")]
    pub(crate) fn video_in(
        &mut self,
        now: Instant,
        key: PeerKey,
        (place, belongs): (usize, Belongs),
        header: &Header,
        index: u64,
        packet: &[u8],
        admitted: bool,
        out: &mut impl Output,
    ) -> Result<(), Drop> {
        let since = now.saturating_duration_since(self.clock.base());
        let peer = &mut self.peers[key];
        let upstream = peer.upstream.as_deref_mut().ok_or(Drop::UnknownSource)?;
        let (ids, published) = (upstream.ids, &mut upstream.published[place]);
        let (codec, _) = published.codec(header.payload_type).ok_or(Drop::UnknownSource)?;
        let (track_key, live) = (published.track, published.live);
        let Belongs { encoding, repeats, is_first } = belongs;
        let input = &mut published.inputs[encoding];
        let payload_len = header.payload_len(packet)?;
        let payload = &packet[header.len..header.len + payload_len];
        let (index, payload) = if repeats {
            if payload.is_empty() {
                return Ok(()); // padding, to see what the path carries
            }
            let (sequence, payload) = original(payload)?;
            (input.losses.index(sequence), payload)
        } else {
            input.reception.received(index, header.timestamp, since);
            (index, payload)
        };
        let whole = input.losses.received(now, index);
        if !admitted {
            return Err(Drop::Policed);
        }
        peer.traffic.received(packet.len());
        let track = self.tracks.get_mut(track_key).ok_or(Drop::NoRoom)?;
        let at = &mut track.encodings[encoding];
        if is_first && !repeats && at.last_at.is_some() {
            at.renew();
        }
        if !whole {
            at.key_frames.need();
        }
        if !live {
            return Err(Drop::Muted);
        }
        let element = |kind: Passed| {
            let id = match kind {
                Passed::DependencyDescriptor => ids.dependency_descriptor,
                Passed::AbsCaptureTime => ids.abs_capture_time,
                Passed::PlayoutDelay => ids.playout_delay,
                Passed::LayersAllocation => ids.video_layers_allocation,
                Passed::Orientation => ids.video_orientation,
            };
            Some((kind, header.extension(packet, id?)?))
        };
        let descriptor = element(Passed::DependencyDescriptor);
        let (timestamp, marker, described) = (header.timestamp, header.marker, descriptor.is_some());
        let seen = at.look(codec, index, timestamp, marker, descriptor.map(|(_, value)| value), payload);
        // What cannot be read is left out: nobody shall take it for lost.
        let glance = seen.unwrap_or(NOTHING);
        let facts = Facts { index, at: now, timestamp, marker, codec, glance, described };
        let mut blob = [0; MAX_ELEMENTS];
        let len = pack(&mut blob, Passed::ALL.into_iter().filter_map(element));
        let (epoch, extensions, encoding) = (at.epoch, &blob[..len], encoding as u8);
        match self.video_packet(now, track_key, encoding, facts, extensions, payload, out) {
            // Browsers fill their probes with repetitions of what has come.
            Err(Drop::Replay) if repeats => return Ok(()),
            passed => passed?,
        }
        let track = &self.tracks[track_key];
        if !track.remotes.is_empty() {
            let (room, csrc) = (self.rooms[self.peers[key].room].id, track.csrc);
            let relayed =
                RelayedVideo { room, csrc, encoding, epoch, index, timestamp, marker, codec, extensions, payload };
            self.relay_video(&relayed, track, out);
        }
        seen.map(|_| ())
    }

    /// A packet of a track, wherever it arrived, to everybody here who watches.
    #[allow(clippy::too_many_arguments, reason = "a packet and all that is known of it")]
    pub(crate) fn video_packet(
        &mut self,
        now: Instant,
        key: TrackKey,
        encoding: u8,
        facts: Facts,
        extensions: &[u8],
        payload: &[u8],
        out: &mut impl Output,
    ) -> Result<(), Drop> {
        let clock = self.clock.ticks_at(now, super::CLOCK_RATE);
        let track = self.tracks.get_mut(key).ok_or(Drop::NoRoom)?;
        let (identity, to_clock) = track.keep(encoding, clock, facts, extensions, payload)?;
        let track = &self.tracks[key];
        let Some(packet) = track.encodings[usize::from(encoding)].cache.get(facts.index) else { return Ok(()) };
        for &(watcher, slot) in &track.watchers {
            let Some(peer) = self.peers.get_mut(watcher) else { continue };
            if !peer.connected {
                continue;
            }
            let Some(video) = peer.video.as_deref_mut() else { continue };
            let stream = &mut video.streams[usize::from(slot)];
            if stream.payload_types(facts.codec).is_none() {
                continue;
            }
            let begins = stream.switch.begins_with(identity, packet);
            if begins {
                video.withdraw(slot);
                video.forget_repairs(slot);
            }
            let stream = &mut video.streams[usize::from(slot)];
            let (index, place) = match stream.switch.offer(identity, packet, to_clock) {
                Passage::No => continue,
                Passage::Yes(place) => (Some(facts.index), place),
                Passage::Filler(out_index, timestamp) => {
                    (None, Place { out_index, timestamp, marker: false, numbers: Numbers::default() })
                }
            };
            let placed = Placed { track: key, encoding, codec: facts.codec, index, place };
            stream.record(placed);
            if begins {
                stream.begun = place.out_index;
            }
            let changed = stream.told.level != stream.switch.level() || stream.told.csrc != stream.csrc;
            if video.is_clear(now) {
                let what = Waiting { slot, repeat: false, placed };
                transmit(now, peer, &what, index.map(|_| packet), &mut self.counters, out);
            } else {
                video.wait(slot, placed);
                if !std::mem::replace(&mut video.paced, true) {
                    self.wheel.schedule(video.pacer.due(now).max(now), Timer::Pace(watcher));
                }
            }
            if changed {
                tell(peer, slot, place.timestamp, out);
            }
        }
        Ok(())
    }

    /// Go on sending what waits.
    pub(crate) fn pace(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let next = pump(now, peer, &self.tracks, &mut self.counters, out);
        let mut full = false;
        if let Some(video) = peer.video.as_deref_mut() {
            video.paced = next.is_some();
            full = video.transport_cc && video.flight.fills(now);
        }
        if let Some(due) = next {
            self.wheel.schedule(due, Timer::Pace(key));
        }
        // No estimate has seen it yet: what is too much is given up at once.
        if full {
            self.share_out(now, key, out);
        }
    }

    /// The same from outside of its timer.
    pub(crate) fn pace_unless_set(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        if self.peers.get(key).and_then(|peer| peer.video.as_deref()).is_some_and(|video| !video.paced) {
            self.pace(now, key, out);
        }
    }

    /// See what a peer's path carries, and share it out. Comes again while it wishes to see anything.
    pub(crate) fn look_after(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        self.share_out(now, key, out);
        let Some(video) = self.peers.get_mut(key).and_then(|peer| peer.video.as_deref_mut()) else { return };
        video.looked_after = video.wishes.iter().any(Option::is_some);
        if video.looked_after {
            self.wheel.schedule(now + LOOK_AFTER, Timer::Watch(key));
        }
    }

    pub(crate) fn share_out(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(video) = peer.video.as_deref_mut().filter(|_| peer.connected) else { return };
        let passed = now.saturating_duration_since(video.looked);
        if passed >= LOOK_AFTER / 2 {
            let sending = bits_per_second(std::mem::take(&mut video.sent), passed);
            video.looked = now;
            video.estimator.wanted(now, Bitrate(video.useful), sending);
            video.estimator.poll(now);
            video.seek(now);
        }
        let target = video.pace(now);
        if video.flight.carries(now).is_none() {
            video.probe(now);
        }
        let tracks = &self.tracks;
        let demands: [Option<Demand<'_>>; MAX_VIDEO_SLOTS] = std::array::from_fn(|slot| {
            let wish = video.wishes[slot].filter(|wish| !wish.paused)?;
            let stream = video.streams.get(slot)?;
            let track = tracks.get(stream.track?).filter(|track| track.live)?;
            let (width, priority, screen) = (wish.width, wish.priority, track.screen);
            Some(Demand {
                offers: track.offers(),
                width,
                priority,
                screen,
                current: stream.switch.level(),
                below: stream.caution.below(now),
            })
        });
        let shares = allocate(target.0, &demands);
        let demanded = demands.map(|demand| demand.is_some());
        video.given = shares.iter().map(|share| share.rate).sum();
        video.useful = shares.iter().map(|share| share.best_rate).sum();
        for slot in 0..video.streams.len() {
            let Some(peer) = self.peers.get_mut(key) else { return };
            let key = track_of(peer, slot);
            let Some(track) = self.tracks.get_mut(key) else { continue };
            let wished = demanded[slot].then_some(shares[slot]);
            let changed = give(now, peer, slot, wished, track);
            if changed {
                let stamp = peer.video.as_deref().and_then(|video| video.streams[slot].switch.newest_stamp());
                tell(peer, slot as u8, stamp.unwrap_or(0), out);
            }
            self.ask_for_key_frames(now, key, out);
        }
        self.pace_unless_set(now, key, out);
    }

    /// See what a camera or screen sends, and ask for what its watchers lack. Comes again while anybody watches.
    pub(crate) fn look_at_track(&mut self, now: Instant, key: TrackKey, out: &mut impl Output) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        track.watched = false;
        track.look(now);
        let watched = !track.watchers.is_empty();
        let wanted = match track.origin {
            Origin::Elsewhere(_) if !watched => 0,
            _ => track.wanted(now),
        };
        let changed = track.live && std::mem::replace(&mut track.told, wanted) != wanted;
        let asked = track.ask(now);
        if track.live {
            track.watched = true;
            self.wheel.schedule(now + LOOK_AT, Timer::Track(key));
        }
        self.tell_origin(key, changed, asked, out);
    }

    /// Ask for the key frames that somebody lacks now, if it is time to: who waits should not wait for the next look, too.
    pub(crate) fn ask_for_key_frames(&mut self, now: Instant, key: TrackKey, out: &mut impl Output) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let asked = track.ask(now);
        if asked != 0 {
            self.tell_origin(key, false, asked, out);
        }
    }

    /// Tell where a track comes from that other encodings are wanted of it, and of which key frames are.
    fn tell_origin(&mut self, key: TrackKey, changed: bool, asked: u8, out: &mut impl Output) {
        let Some(Track { origin, csrc, room, told, .. }) = self.tracks.get(key) else { return };
        let (origin, csrc, room, wanted) = (*origin, *csrc, *room, *told);
        match origin {
            Origin::Peer(origin, place) => {
                if changed {
                    out.event(Event::Encodings { peer: self.peers[origin].id, csrc, wanted });
                }
                if asked != 0 {
                    self.ask_key_frames(origin, place, asked, out);
                }
            }
            Origin::Elsewhere(worker) if changed || asked != 0 => {
                out.note(worker, Note::Want { room: self.rooms[room].id, csrc, wanted, keys: asked });
            }
            Origin::Elsewhere(_) => {}
        }
    }

    /// RFC 4585 §6.3.1, for the encodings whose bits are set.
    fn ask_key_frames(&mut self, key: PeerKey, place: usize, asked: u8, out: &mut impl Output) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let published = peer.upstream.as_deref().and_then(|upstream| upstream.published.get(place));
        let inputs = published.into_iter().flat_map(|published| &published.inputs).enumerate();
        let known = inputs.filter(|(index, input)| asked >> index & 1 == 1 && input.ssrc.is_some());
        self.counters.key_frames_asked += known.count() as u64;
        write_rtcp(peer, &mut self.counters, out, |peer, writer| {
            let sender = peer.report_ssrc;
            let published = peer.upstream.as_deref().and_then(|upstream| upstream.published.get(place));
            let inputs = published.into_iter().flat_map(|published| &published.inputs).enumerate();
            for (_, input) in inputs.filter(|(index, _)| asked >> index & 1 == 1) {
                if let Some(ssrc) = input.ssrc {
                    writer.feedback(true, rtcp::PLI, [sender, ssrc], |_| 0)?;
                }
            }
            Ok(())
        });
    }

    fn schedule_upstream(&mut self, now: Instant, key: PeerKey) {
        let Some(upstream) = self.peers[key].upstream.as_deref_mut() else { return };
        let Some(due) = upstream.due(now) else { return };
        if upstream.telling.is_none_or(|telling| due < telling) {
            upstream.telling = Some(due);
            self.wheel.schedule(due, Timer::Upstream(key));
        }
    }

    /// Tell a publisher what came, and ask for what did not.
    pub(crate) fn tell_upstream(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(upstream) = peer.upstream.as_deref_mut() else { return };
        upstream.telling = None;
        let rtt = Duration::from_secs_f32(peer.rtt.clamp(0.0, 1.0));
        write_rtcp(peer, &mut self.counters, out, |peer, writer| {
            let sender = peer.report_ssrc;
            let Some(upstream) = peer.upstream.as_deref_mut() else { return Ok(()) };
            let media = upstream.published.iter().flat_map(|each| &each.inputs).find_map(|input| input.ssrc);
            if let Some(media) = media {
                writer
                    .feedback(false, rtcp::TRANSPORT_CC, [sender, media], |room| upstream.write_arrivals(now, room))?;
            }
            for input in upstream.published.iter_mut().flat_map(|published| &mut published.inputs) {
                if let Some(ssrc) = input.ssrc {
                    writer.feedback(false, rtcp::NACK, [sender, ssrc], |room| input.losses.ask(now, rtt, room))?;
                }
            }
            Ok(())
        });
        self.schedule_upstream(now, key);
    }

    /// Look at a track now, and from now on while it is live.
    pub(crate) fn look_at_track_soon(&mut self, now: Instant, key: TrackKey) {
        if let Some(track) = self.tracks.get_mut(key)
            && !std::mem::replace(&mut track.watched, true)
        {
            self.wheel.schedule(now, Timer::Track(key));
        }
    }
}

fn track_of(peer: &Peer, slot: usize) -> TrackKey {
    let stream = peer.video.as_deref().and_then(|video| video.streams.get(slot));
    stream.and_then(|stream| stream.track).unwrap_or_default()
}

/// A slot gets its share. True: what its client was told is not so any more.
fn give(now: Instant, peer: &mut Peer, slot: usize, share: Option<Share>, track: &mut Track) -> bool {
    let Some(video) = peer.video.as_deref_mut() else { return false };
    let level = share.and_then(|share| video.streams[slot].pinned.or(share.level));
    if level.is_none() && video.streams[slot].switch.target().is_some() {
        video.withdraw(slot as u8);
    }
    let stream = &mut video.streams[slot];
    stream.switch.aim(level);
    stream.caution.given(now, level, share.is_some_and(|share| share.level < share.best));
    stream.limit = share.and_then(|share| match (share.level, share.best) {
        (_, None) => Some(Limit::Source),
        (level, best) if level < best => Some(Limit::Bandwidth),
        _ if share.narrow => Some(Limit::Source),
        _ => None,
    });
    if stream.gives_up() {
        video.forget_repairs(slot as u8);
    }
    let stream = &mut video.streams[slot];
    if let Some(level) = level {
        track.want(now, level.encoding);
        if let Some(shown) = stream.switch.level() {
            track.want(now, shown.encoding); // until the better comes
        }
        let codec = track.encodings[usize::from(level.encoding)].codec;
        if codec.is_some_and(|codec| stream.payload_types(codec).is_none()) {
            stream.limit = Some(Limit::Codec);
        } else if track.identity(level.encoding).is_none_or(|identity| stream.switch.awaits(identity)) {
            track.encodings[usize::from(level.encoding)].key_frames.need();
        }
    }
    let shown = stream.switch.level();
    let csrc = if shown.is_some() { stream.csrc } else { 0 };
    stream.told != Told { csrc, level: shown, limit: stream.limit }
}

/// Tell what a slot shows.
pub(crate) fn tell(peer: &mut Peer, slot: u8, timestamp: u32, out: &mut impl Output) {
    let id = peer.id;
    let Some(video) = peer.video.as_deref_mut() else { return };
    let stream = &mut video.streams[usize::from(slot)];
    let level = stream.switch.level();
    let csrc = if level.is_some() { stream.csrc } else { 0 };
    stream.told = Told { csrc, level, limit: stream.limit };
    let (encoding, spatial, temporal) =
        level.map_or((0, 0, 0), |level| (level.encoding, level.spatial, level.temporal));
    out.event(Event::VideoSlot { peer: id, slot, csrc, timestamp, encoding, spatial, temporal, limit: stream.limit });
}

/// Send what `fill` writes, behind an empty report: RFC 3550 §6.1 asks for one, and not everyone knows RFC 5506.
fn write_rtcp(
    peer: &mut Peer,
    counters: &mut crate::counters::Counters,
    out: &mut impl Output,
    fill: impl FnOnce(&mut Peer, &mut Writer<'_>) -> Result<(), rtcp::Full>,
) {
    let Some(to) = peer.ice.selected().filter(|_| peer.connected) else { return };
    let sent = crate::forward::send(out, to, |buf| {
        let mut writer = Writer::new(&mut buf[..]);
        let _ = writer.receiver_report(peer.report_ssrc, &[]);
        let empty = writer.len();
        // What does not fit is told next time.
        let _ = fill(peer, &mut writer);
        let len = writer.finish();
        match &mut peer.srtp {
            Some(srtp) if len > empty => srtp.outbound.protect_rtcp(buf, len),
            _ => 0,
        }
    });
    counters.sent(sent);
}
