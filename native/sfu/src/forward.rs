//! From an opened packet to everybody who hears it: the hot path.

use std::time::Instant;

use crate::drops::Drop;
use crate::history::{Fresh, History};
use crate::peer::Peer;
use crate::receiver::{Content, Forward};
use crate::red::Red;
use crate::relay::Relayed;
use crate::room;
use crate::rtp::AudioLevel;
use crate::sfu::{Sfu, Timer};
use crate::voice::{Heard, Passage};
use crate::{Event, MAX_DATAGRAM, Output, Path, PeerId, RoomKey, VoiceKey, counters::Counters};

/// What a forwarded packet has besides its payload: fixed header, CSRC, level extension, authentication tag.
pub(crate) const OVERHEAD: usize = 12 + 4 + 8 + 16;
/// A larger payload is no Opus frame.
pub(crate) const MAX_PAYLOAD: usize = MAX_DATAGRAM - OVERHEAD;

/// One packet of a voice, wherever it arrived.
pub(crate) struct Spoken<'a> {
    /// Generation and segment of its source.
    pub(crate) place: (u32, u32),
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) level: Option<AudioLevel>,
    /// The payload is RED whose blocks have this payload type.
    pub(crate) red: Option<u8>,
    pub(crate) payload: &'a [u8],
}

impl Sfu {
    /// A voice of a room that is at home here says something.
    pub(crate) fn speak(
        &mut self,
        now: Instant,
        key: VoiceKey,
        spoken: &Spoken<'_>,
        out: &mut impl Output,
    ) -> Result<(), Drop> {
        let red = spoken.red.map(|opus| Red::parse(spoken.payload, opus)).transpose()?;
        let frame_len = red.as_ref().map_or(spoken.payload.len(), |red| red.primary.len());
        let heard = Heard::new(spoken.level, frame_len);
        let voice = self.voices.get_mut(key).ok_or(Drop::NoSlot)?;
        voice.hear(now, spoken.level, heard);
        let passage = voice.passage(heard, spoken.place, spoken.index);
        let (csrc, room_key) = (voice.csrc, voice.room);
        let (slot, taken) = match voice.slot {
            Some((slot, _)) => (slot, false),
            None if heard.silent => return Err(Drop::Silent),
            None if matches!(passage, Passage::Late | Passage::LeaveOut) => return Err(Drop::NoSlot),
            None => (self.take_slot(now, key, heard, spoken.timestamp, out).ok_or(Drop::NoSlot)?, true),
        };
        let clock = self.clock.ticks(now);
        let room = &mut self.rooms[room_key];
        let begins = match passage {
            Passage::LeaveOut => return Err(Drop::Silent),
            Passage::Renew if !taken => {
                room.hold(clock, slot, key, csrc, spoken.timestamp);
                true
            }
            Passage::Join if !taken => {
                room.slots[slot].segment += 1;
                false
            }
            _ => taken,
        };
        let at = &mut room.slots[slot];
        let forward = Forward {
            now,
            content: (slot, at.epoch),
            segment: at.segment,
            csrc: Some(csrc),
            index: Some(spoken.index),
            timestamp: at.timeline.stamp(clock, spoken.timestamp),
            marker: spoken.marker,
            level: spoken.level,
            voice: heard.voice,
            red,
            payload: spoken.payload,
            ends: false,
        };
        if begins {
            let (room, slot, timestamp) = (room.id, slot as u8, forward.timestamp);
            out.event(Event::RoomSlot { room, slot, csrc, timestamp });
        }
        self.fan_out(room_key, &forward, out);
        self.relay_forward(room_key, &forward, spoken.red, out);
        if self.voices[key].begins_to_speak() {
            out.event(Event::Speaking { room: self.rooms[room_key].id, csrc, speaking: true });
            self.watch_speakers(now, room_key, out);
        }
        Ok(())
    }

    /// A slot for who holds none. Its loser, if any, holds none from now on.
    fn take_slot(
        &mut self,
        now: Instant,
        key: VoiceKey,
        heard: Heard,
        timestamp: u32,
        out: &mut impl Output,
    ) -> Option<usize> {
        let clock = self.clock.ticks(now);
        let candidate = &self.voices[key];
        let (csrc, room_key) = (candidate.csrc, candidate.room);
        let room = &mut self.rooms[room_key];
        room.furnish(self.settings.audio_slots, || self.random.u32());
        let (slot, loser) = room.choose(now, candidate, heard.voice, &self.voices)?;
        if let Some(loser) = loser {
            let loser = &mut self.voices[loser];
            loser.slot = None;
            if loser.ceases_to_speak(now) {
                out.event(Event::Speaking { room: room.id, csrc: loser.csrc, speaking: false });
            }
        }
        room.hold(clock, slot, key, csrc, timestamp);
        self.voices[key].slot = Some((slot, now));
        Some(slot)
    }

    /// Give a packet to every member here.
    pub(crate) fn fan_out(&mut self, room_key: RoomKey, forward: &Forward<'_>, out: &mut impl Output) {
        let room = &mut self.rooms[room_key];
        let slot = &mut room.slots[forward.content.0];
        if let Some(index) = forward.index
            && room.repairable > 0
        {
            slot.history.get_or_insert_with(|| Box::new(History::new())).keep(&Fresh {
                epoch: forward.content.1,
                segment: forward.segment,
                index,
                timestamp: forward.timestamp,
                marker: forward.marker,
                level: forward.level,
                red: forward.red.as_ref().map(|_| forward.payload[0] & 0x7F),
                payload: forward.payload,
            });
        }
        for member in &room.members {
            let receiver = &mut self.peers[*member];
            if forward.csrc.is_some_and(|csrc| receiver.is_heard_as(csrc)) {
                supersede(receiver, forward, &mut self.counters, out);
                continue;
            }
            deliver(receiver, forward, &mut self.counters, out);
            if forward.ends {
                end(receiver, forward.content, out);
            }
        }
    }

    /// Give a packet to the workers where other members are.
    fn relay_forward(&self, room_key: RoomKey, forward: &Forward<'_>, red: Option<u8>, out: &mut impl Output) {
        let room = &self.rooms[room_key];
        if room.replicas.is_empty() {
            return;
        }
        let relayed = Relayed {
            forward: true,
            room: room.id,
            peer: PeerId(0),
            csrc: forward.csrc.unwrap_or(0),
            slot: forward.content.0 as u8,
            epoch: forward.content.1,
            segment: forward.segment,
            index: forward.index,
            timestamp: forward.timestamp,
            marker: forward.marker,
            voice: forward.voice,
            level: forward.level,
            red,
            ends: forward.ends,
            payload: forward.payload,
        };
        out.relay(room.replicas, |buf| relayed.write(buf));
    }

    /// A packet from the room's home for the members here.
    pub(crate) fn forwarded(&mut self, now: Instant, relayed: &Relayed<'_>, out: &mut impl Output) -> Result<(), Drop> {
        let room_key = *self.room_keys.get(&relayed.room).ok_or(Drop::NoRoom)?;
        let clock = self.clock.ticks(now);
        let room = &mut self.rooms[room_key];
        room.furnish(self.settings.audio_slots, || self.random.u32());
        let slot = usize::from(relayed.slot);
        let at = room.slots.get_mut(slot).ok_or(Drop::NoRoom)?;
        if relayed.index.is_some() {
            if at.epoch != relayed.epoch {
                at.timeline.begin_following();
            }
            (at.epoch, at.csrc) = (relayed.epoch, relayed.csrc);
            at.timeline.follow(clock, relayed.timestamp);
        }
        let red = relayed.red.map(|opus| Red::parse(relayed.payload, opus)).transpose()?;
        let forward = Forward {
            now,
            content: (slot, relayed.epoch),
            segment: relayed.segment,
            csrc: relayed.index.map(|_| relayed.csrc),
            index: relayed.index,
            timestamp: relayed.timestamp,
            marker: relayed.marker,
            level: relayed.level,
            voice: relayed.voice,
            red,
            payload: relayed.payload,
            ends: relayed.ends,
        };
        self.fan_out(room_key, &forward, out);
        Ok(())
    }

    /// `key` gives back the slot that it holds, if any: silence, then nothing.
    pub(crate) fn release(&mut self, now: Instant, key: VoiceKey, out: &mut impl Output) {
        let Some(voice) = self.voices.get_mut(key) else {
            return;
        };
        let room_key = voice.room;
        let Some((slot, _)) = voice.slot.take() else {
            return;
        };
        let room = &mut self.rooms[room_key];
        room.slots[slot].holder = None;
        room.slots[slot].release = Some(room::Release { frames: room::SILENT_FRAMES, due: now });
        if voice.ceases_to_speak(now) {
            out.event(Event::Speaking { room: room.id, csrc: voice.csrc, speaking: false });
        }
        self.silence(now, room_key, out);
    }

    /// Send the silence that is due in a room, and come again for the rest.
    pub(crate) fn silence(&mut self, now: Instant, room_key: RoomKey, out: &mut impl Output) {
        let clock = self.clock.ticks(now);
        let Some(slots) = self.rooms.get(room_key).map(|room| room.slots.len()) else {
            return;
        };
        for index in 0..slots {
            let room = &mut self.rooms[room_key];
            let slot = &mut room.slots[index];
            let Some(release) = slot.release.as_mut().filter(|release| release.due <= now) else {
                continue;
            };
            release.frames -= 1;
            release.due += room::FRAME;
            let ends = release.frames == 0;
            if ends {
                slot.release = None;
                slot.history = None;
            }
            let timestamp = slot.timeline.silence(clock);
            let forward = Forward::silence(now, (index, slot.epoch), timestamp, ends);
            if ends {
                out.event(Event::RoomSlot { room: room.id, slot: index as u8, csrc: 0, timestamp });
            }
            self.fan_out(room_key, &forward, out);
            self.relay_forward(room_key, &forward, None, out);
        }
        let room = &mut self.rooms[room_key];
        let next = room.slots.iter().filter_map(|slot| slot.release.as_ref()).map(|release| release.due).min();
        if let Some(due) = next
            && !room.silencing
        {
            room.silencing = true;
            self.wheel.schedule(due, Timer::Silence(room_key));
        }
    }

    /// What `peer` hears of whom `unwanted` names is over for it alone.
    pub(crate) fn hush(
        &mut self,
        now: Instant,
        key: crate::PeerKey,
        unwanted: impl Fn(u32) -> bool,
        out: &mut impl Output,
    ) {
        let receiver = &mut self.peers[key];
        for stream in 0..receiver.receiver.streams.len() {
            let heard = &receiver.receiver.streams[stream];
            if let Some(content) = heard.content().filter(|_| unwanted(heard.csrc())) {
                end_at_once(now, receiver, stream, content, &mut self.counters, out);
            }
        }
    }
}

/// One packet to one receiver, when it is connected and has a place for it.
fn deliver(receiver: &mut Peer, packet: &Forward<'_>, counters: &mut Counters, out: &mut impl Output) {
    if !receiver.connected || receiver.deafened || receiver.receiver.is_empty() {
        return;
    }
    if !receiver.ignored.is_empty() && packet.csrc.is_some_and(|csrc| receiver.ignored.contains(&csrc)) {
        return supersede(receiver, packet, counters, out);
    }
    write(receiver, packet, counters, out);
}

fn write(receiver: &mut Peer, packet: &Forward<'_>, counters: &mut Counters, out: &mut impl Output) {
    let Some(srtp) = &receiver.srtp else { return };
    let Some(to) = receiver.ice.destination(packet.payload.len() + OVERHEAD) else { return };
    let streams = &mut receiver.receiver;
    let mut sent = None;
    out.send(to, |buf| {
        sent = streams.forward(packet, &srtp.outbound, buf);
        sent.as_ref().map_or(0, |sent| sent.len)
    });
    let Some(sent) = sent else { return };
    receiver.traffic.sent(sent.len);
    counters.sent(sent.len);
    if sent.begins && !receiver.receiver.is_whole() {
        let (slot, csrc) = (sent.stream as u8, packet.csrc.unwrap_or(0));
        out.event(Event::SlotChanged { peer: receiver.id, slot, csrc, timestamp: sent.timestamp });
    }
}

/// What `receiver` heard as `content` is over: nobody is in that slot from its last frame of silence on.
fn end(receiver: &mut Peer, content: Content, out: &mut impl Output) {
    let Some(stream) = receiver.receiver.carrying(content) else {
        return;
    };
    if !receiver.receiver.is_whole() {
        let timestamp = receiver.receiver.streams[stream].stamp();
        out.event(Event::SlotChanged { peer: receiver.id, slot: stream as u8, csrc: 0, timestamp });
    }
    receiver.receiver.end(content);
}

/// The same before its time: the silence goes out at once.
fn end_at_once(
    now: Instant,
    receiver: &mut Peer,
    stream: usize,
    content: Content,
    counters: &mut Counters,
    out: &mut impl Output,
) {
    for _ in 0..room::SILENT_FRAMES {
        let timestamp = receiver.receiver.streams[stream].next_frame();
        write(receiver, &Forward::silence(now, content, timestamp, false), counters, out);
    }
    end(receiver, content, out);
}

/// Nobody hears itself, nor whom it ignores: what `receiver` heard in the slot that such a voice took is over for it alone.
fn supersede(receiver: &mut Peer, unheard: &Forward<'_>, counters: &mut Counters, out: &mut impl Output) {
    let (slot, epoch) = unheard.content;
    let before = receiver.receiver.streams.iter().enumerate().find_map(|(index, stream)| {
        stream.content().filter(|content| content.0 == slot && content.1 != epoch).map(|content| (index, content))
    });
    if let Some((stream, content)) = before {
        end_at_once(unheard.now, receiver, stream, content, counters, out);
    }
}

/// Send, and say how much.
pub(crate) fn send(out: &mut impl Output, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) -> usize {
    let mut len = 0;
    out.send(to, |buf| {
        len = fill(buf);
        len
    });
    len
}
