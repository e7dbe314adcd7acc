//! What must hold whatever happens, looked at from outside of the node: at what goes in, and what comes out.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use sfu::demux::{Kind, classify};
use sfu::drops::{Drop, Drops};
use sfu::red::Red;
use sfu::rtcp::{self, Packet, SenderInfo};
use sfu::rtp::{Header, extend_sequence};
use sfu::srtp::Inbound;
use sfu::stun::{Class, IntegrityKey, Message};
use sfu::{Counters, Path, PeerId, RoomId, SlotConfig};

use super::client::{Client, FRAME, SILENCE};

/// In this time a slot changes hands at most once, but for those that were given back.
const WINDOW: Duration = Duration::from_millis(100);
/// Addresses that a node keeps for one peer.
const MAX_PATHS: u64 = 8;
/// What a receiver is shown of a source's leap at most.
const MAX_HOLE: u64 = 256;
/// How far back arrivals are remembered, in packets.
const REMEMBERED: u64 = 4096;

/// The newest packet of one stream.
#[derive(Clone, Copy, Debug)]
struct Newest {
    at: Instant,
    index: u64,
    timestamp: u32,
    csrc: Option<u32>,
    /// The index under which its source sent it; None: silence, or a source that does not say.
    sent_as: Option<u64>,
}

#[derive(Default)]
struct Stream {
    newest: Option<Newest>,
    packets: u32,
    /// There was no way to its receiver: holes are nobody's fault until content begins.
    unreachable: bool,
    /// There was a time without one, of which packets may have come for the first time when they were asked for.
    missed: bool,
    /// When the present content began, and how many packets had arrived then.
    began: Option<(Instant, u64)>,
    /// Latest bytes under each sequence number.
    sent: HashMap<u16, Vec<u8>>,
}

struct Member {
    id: PeerId,
    csrc: u32,
    room: RoomId,
    slots: Vec<SlotConfig>,
    streams: Vec<Stream>,
    opens: Inbound,
    credentials: Vec<(String, IntegrityKey)>,
    muted: Option<Instant>,
    deafened: Option<Instant>,
    ignored: Vec<u32>,
    /// In which of its streams a voice was last heard.
    carried: HashMap<u32, usize>,
    /// Of the last `WINDOW`: whose voice, and whether content began.
    recent: VecDeque<(Instant, u32, bool)>,
}

#[derive(Default)]
struct Address {
    /// Who passed a check from there.
    checked: Option<PeerId>,
    bytes_in: usize,
    bytes_out: usize,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Instant,
    /// Of all sources, itself included.
    number: u64,
    /// Why the node dropped it.
    dropped: Option<Drop>,
}

/// What arrived of one source.
#[derive(Default)]
struct Arrived {
    ssrc: u32,
    highest: u64,
    indices: HashMap<u64, Arrival>,
}

/// Told everything that passes, it panics at whatever must not be.
#[derive(Default)]
pub struct Audit {
    /// All sources keep RTP's rules, and their payloads say which packet they are.
    pub polite: bool,
    /// How late packets come at most against the earliest; None: sender reports are not held against packets.
    pub jitter: Option<Duration>,
    /// Until a command is known to all workers.
    pub grace: Duration,
    /// Packets may get lost between workers.
    pub lossy_relay: bool,
    /// RTP packets that came out for the first time, and once more.
    pub sent: u64,
    pub resent: u64,
    /// Sender reports held against packets.
    pub compared: u64,
    members: BTreeMap<u64, Member>,
    by_ssrc: HashMap<u32, u64>,
    addresses: HashMap<Path, Address>,
    /// Who is, or was, heard where: (csrc, room, until).
    stays: Vec<(u32, RoomId, Option<Instant>)>,
    sources: HashMap<u32, Arrived>,
    arrivals: u64,
}

impl Audit {
    pub fn added(&mut self, client: &Client) {
        let mut member = Member {
            id: client.id,
            csrc: client.csrc,
            room: client.room,
            slots: client.slots.clone(),
            streams: Vec::new(),
            opens: Inbound::new(&client.keys().outbound),
            credentials: Vec::new(),
            muted: None,
            deafened: None,
            ignored: Vec::new(),
            carried: HashMap::new(),
            recent: VecDeque::new(),
        };
        member.streams.resize_with(client.slots.len(), Stream::default);
        for slot in &client.slots {
            self.by_ssrc.insert(slot.ssrc, client.id.0);
        }
        self.stays.push((client.csrc, client.room, None));
        self.sources.insert(client.csrc, Arrived { ssrc: client.ssrc, ..Arrived::default() });
        self.members.insert(client.id.0, member);
        self.credentials(client);
    }

    /// The client's present credentials count too.
    pub fn credentials(&mut self, client: &Client) {
        let key = IntegrityKey::short_term(&client.local_password);
        self.member(client.id).credentials.push((client.username(), key));
    }

    pub fn left(&mut self, now: Instant, id: PeerId) {
        let Some(member) = self.members.remove(&id.0) else { return };
        self.ends_stay(now, member.csrc, member.room);
        for slot in member.slots {
            self.by_ssrc.remove(&slot.ssrc);
        }
        self.addresses.retain(|_, address| address.checked != Some(id));
    }

    pub fn moved(&mut self, now: Instant, id: PeerId, room: RoomId) {
        let member = self.member(id);
        let (csrc, before) = (member.csrc, std::mem::replace(&mut member.room, room));
        if before != room {
            self.ends_stay(now, csrc, before);
            self.stays.push((csrc, room, None));
        }
    }

    fn ends_stay(&mut self, now: Instant, csrc: u32, room: RoomId) {
        let present = |stay: &&mut (u32, RoomId, Option<Instant>)| *stay == &mut (csrc, room, None);
        if let Some(stay) = self.stays.iter_mut().find(present) {
            stay.2 = Some(now);
        }
    }

    pub fn muted(&mut self, now: Instant, id: PeerId, muted: bool) {
        let member = self.member(id);
        member.muted = muted.then(|| member.muted.unwrap_or(now));
    }

    pub fn deafened(&mut self, now: Instant, id: PeerId, deafened: bool) {
        let member = self.member(id);
        member.deafened = deafened.then(|| member.deafened.unwrap_or(now));
    }

    pub fn ignored(&mut self, id: PeerId, csrcs: &[u32]) {
        self.member(id).ignored = csrcs.to_vec();
    }

    pub fn unreachable(&mut self, id: PeerId) {
        for stream in &mut self.member(id).streams {
            (stream.unreachable, stream.missed) = (true, true);
        }
    }

    fn member(&mut self, id: PeerId) -> &mut Member {
        self.members.get_mut(&id.0).expect("only those who joined")
    }

    /// A datagram is about to be handled.
    pub fn incoming(&mut self, path: Path, datagram: &[u8]) {
        self.addresses.entry(path).or_default().bytes_in += datagram.len();
        let Some(checked) = self.check(datagram) else { return };
        self.addresses.entry(path).or_default().checked = Some(checked);
    }

    /// Whose check it is, if it is a right one.
    fn check(&self, datagram: &[u8]) -> Option<PeerId> {
        let message = Message::parse(datagram).ok()?;
        let right = message.class() == Class::Request
            && message.method() == 1
            && !message.controlled()
            && message.unknown_required().next().is_none();
        let username = message.username().filter(|_| right)?;
        let knows = |member: &&Member| {
            member.credentials.iter().any(|(name, key)| name.as_bytes() == username && message.verify(key))
        };
        self.members.values().find(knows).map(|member| member.id)
    }

    /// And this is what the node thought of it: `before` and `after` are what it had dropped.
    pub fn handled(&mut self, now: Instant, datagram: &[u8], before: &Drops, after: &Drops) {
        let reason = Drop::ALL.into_iter().find(|reason| before.get(*reason) != after.get(*reason));
        let ours =
            matches!(reason, None | Some(Drop::Muted | Drop::NoSlot | Drop::Policed | Drop::Silent | Drop::Malformed));
        let (Ok(header), true) = (Header::parse(datagram), ours && classify(datagram) == Kind::Rtp) else { return };
        let Some(arrived) = self.sources.values_mut().find(|arrived| arrived.ssrc == header.ssrc) else { return };
        let index = match arrived.indices.is_empty() {
            true => u64::from(header.sequence),
            false => extend_sequence(arrived.highest, header.sequence),
        };
        arrived.highest = arrived.highest.max(index);
        self.arrivals += 1;
        arrived.indices.insert(index, Arrival { at: now, number: self.arrivals, dropped: reason });
        if arrived.indices.len() as u64 > 2 * REMEMBERED {
            let oldest = arrived.highest.saturating_sub(REMEMBERED);
            arrived.indices.retain(|index, _| *index >= oldest);
        }
    }

    /// `csrc` is sent under another SSRC from now on.
    pub fn ssrc_changed(&mut self, csrc: u32, ssrc: u32) {
        self.sources.insert(csrc, Arrived { ssrc, ..Arrived::default() });
    }

    /// The node sends a datagram.
    pub fn outgoing(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let address = self.addresses.entry(path).or_default();
        address.bytes_out += datagram.len();
        let checked = address.checked;
        if checked.is_none() {
            let (sent, came) = (address.bytes_out, address.bytes_in);
            assert!(sent <= came, "{sent} bytes to {path:?}, which passed no check and sent {came}");
        }
        match classify(datagram) {
            Kind::Stun => {
                let class = Message::parse(datagram).expect("well-formed").class();
                assert!(matches!(class, Class::Success | Class::Error), "the node asks nothing");
            }
            Kind::Rtp => {
                let ssrc = Header::parse(datagram).expect("well-formed").ssrc;
                let id = *self.by_ssrc.get(&ssrc).expect("an SSRC of somebody's slots");
                let owner = PeerId(id);
                assert!(checked.is_none_or(|who| who == owner), "{owner:?}'s media goes to {path:?}, {checked:?}'s");
                self.rtp(now, owner, datagram);
            }
            Kind::Rtcp => self.rtcp(now, checked.expect("reports go where a check came from"), datagram),
            kind => panic!("the node sends {kind:?}"),
        }
    }

    fn rtp(&mut self, now: Instant, owner: PeerId, datagram: &[u8]) {
        let sealed = Header::parse(datagram).expect("well-formed");
        let member = self.members.get_mut(&owner.0).expect("only those who joined");
        let stream = member.slots.iter().position(|slot| slot.ssrc == sealed.ssrc).expect("one of its slots");
        member.streams[stream].packets = member.streams[stream].packets.wrapping_add(1);
        if member.streams[stream].sent.get(&sealed.sequence).is_some_and(|before| before == datagram) {
            assert!(member.slots[stream].nack, "sent again to who did not want that");
            self.resent += 1;
            return;
        }
        self.sent += 1;
        let mut plain = datagram.to_vec();
        // Fails for a number that was sealed before: these are other bytes.
        let opened = member.opens.unprotect(&mut plain).expect("fresh, and sealed under its number");
        let (header, packet) = (opened.header, &plain[..opened.len]);
        let slot = &member.slots[stream];
        let red = Some(header.payload_type) == slot.red_payload_type;
        assert!(red || header.payload_type == slot.payload_type, "a payload type of the receiver's: {header:?}");
        let payload = &packet[header.len..];
        let primary = if red {
            &payload[Red::parse(payload, slot.payload_type).expect("well-formed RED").primary]
        } else {
            payload
        };
        assert!(header.csrc_count <= 1);
        let csrc = header.csrcs(packet).next();
        let spoken = csrc.filter(|_| self.polite && primary.len() >= 12);
        let sent_as = spoken.map(|_| u64::from_be_bytes(primary[4..12].try_into().expect("eight bytes")));
        match csrc {
            Some(csrc) => {
                assert!(!self.polite || primary.len() < 12 || primary[..4] == csrc.to_be_bytes(), "its own voice");
            }
            None => assert_eq!(primary, SILENCE, "only silence is nobody's"),
        }
        let newest = Newest { at: now, index: opened.index, timestamp: header.timestamp, csrc, sent_as };
        let state = &mut member.streams[stream];
        state.sent.insert(sealed.sequence, datagram.to_vec());
        let before = state.newest.filter(|before| before.index > opened.index);
        if before.is_none() {
            let last = state.newest.replace(newest);
            if header.marker {
                state.began = Some((now, self.arrivals));
            }
            self.continues(owner, stream, last, newest, header.marker);
        }
        if let Some(csrc) = csrc {
            self.may_hear(now, owner, stream, csrc, header.marker);
        }
    }

    /// The stream goes on as it should.
    fn continues(&mut self, owner: PeerId, stream: usize, last: Option<Newest>, newest: Newest, begins: bool) {
        let member = self.members.get_mut(&owner.0).expect("only those who joined");
        let state = &mut member.streams[stream];
        state.unreachable &= !begins;
        let unreachable = state.unreachable;
        let Some(last) = last.filter(|_| self.polite) else { return };
        let passed = newest.timestamp.wrapping_sub(last.timestamp) as i32;
        assert!(passed >= FRAME as i32, "time went back for {owner:?}: {last:?} {newest:?}");
        let step = newest.index - last.index;
        let same = (newest.csrc == last.csrc && !begins).then_some(newest.csrc).flatten();
        let missed = last.sent_as.zip(newest.sent_as).map(|(last, newest)| newest.wrapping_sub(last));
        if step == 1 {
            let hidden = same.is_some() && missed.is_some_and(|missed| (2..=MAX_HOLE).contains(&missed));
            assert!(!hidden, "a loss is hidden from {owner:?}: {last:?} {newest:?}");
            return;
        }
        if unreachable {
            return;
        }
        let csrc = same.unwrap_or_else(|| panic!("a hole between contents for {owner:?}: {last:?} {newest:?}"));
        let Some(sent_as) = newest.sent_as.filter(|_| last.sent_as.is_some()) else { return };
        assert_eq!(missed, Some(step), "a hole that no network made for {owner:?}: {last:?} {newest:?}");
        let arrived = &self.sources[&csrc].indices;
        // What came before the content began belongs to what was before it, even if late packets make it a hole.
        let since = member.streams[stream].began.map_or(0, |(_, arrivals)| arrivals);
        // And what overtook another between workers was not there yet.
        let there = |arrival: &Arrival| arrival.number > since && arrival.at + self.grace <= newest.at;
        let withheld = |index: &u64| arrived.get(index).is_some_and(there);
        let withheld = (1..step).map(|back| sent_as - back).find(withheld);
        let Some(index) = withheld.filter(|_| !self.lossy_relay) else { return };
        let reason = arrived[&index].dropped;
        panic!("{owner:?} is shown a hole for {index} of {csrc:x}, which arrived: {reason:?}");
    }

    fn may_hear(&mut self, now: Instant, owner: PeerId, stream: usize, csrc: u32, begins: bool) {
        let (grace, polite) = (self.grace, self.polite);
        let over = |since: Instant| now >= since + grace;
        let member = &self.members[&owner.0];
        assert_ne!(member.csrc, csrc, "nobody hears itself");
        let here = |stay: &&(u32, RoomId, Option<Instant>)| (stay.0, stay.1) == (csrc, member.room);
        let stays = self.stays.iter().rev().find(here);
        assert!(
            stays.is_some_and(|stay| stay.2.is_none_or(|until| !over(until))),
            "{owner:?} hears {csrc:x} of no room"
        );
        let speaker = self.members.values().find(|speaker| speaker.csrc == csrc);
        assert!(
            !speaker.and_then(|speaker| speaker.muted).is_some_and(over),
            "{csrc:x} is muted and {owner:?} hears it"
        );
        assert!(member.deafened.is_none(), "{owner:?} is deafened and hears {csrc:x}");
        assert!(!member.ignored.contains(&csrc), "{owner:?} hears {csrc:x}, which it ignores");

        let member = self.members.get_mut(&owner.0).expect("only those who joined");
        let before = member.carried.insert(csrc, stream);
        assert!(
            !polite || begins || before.is_none_or(|before| before == stream),
            "{csrc:x} in two slots of {owner:?}"
        );
        member.recent.push_back((now, csrc, begins));
        while member.recent.front().is_some_and(|(at, _, _)| *at + WINDOW < now) {
            member.recent.pop_front();
        }
        let voices: HashSet<u32> = member.recent.iter().map(|(_, csrc, _)| *csrc).collect();
        let begun = member.recent.iter().filter(|(_, _, begins)| *begins).count();
        assert!(!polite || voices.len() <= member.slots.len() + begun, "more voices than slots for {owner:?}");
    }

    fn rtcp(&mut self, now: Instant, owner: PeerId, datagram: &[u8]) {
        let member = self.members.get_mut(&owner.0).expect("only those who joined");
        let mut plain = datagram.to_vec();
        let len = member.opens.unprotect_rtcp(&mut plain).expect("fresh, and sealed for the owner of the address");
        for packet in rtcp::packets(&plain[..len]) {
            if let Packet::SenderReport { ssrc, info, .. } = packet.expect("well-formed") {
                let stream = member.slots.iter().position(|slot| slot.ssrc == ssrc).expect("one of its slots");
                let stream = &member.streams[stream];
                let counted = info.packets == stream.packets || stream.missed && info.packets < stream.packets;
                assert!(counted, "{} packets reported, {} sent", info.packets, stream.packets);
                self.compared += u64::from(agrees(now, stream, &info, self.jitter));
            }
        }
    }

    /// What the node keeps is bounded by who is there.
    pub fn bounded(&self, counters: &Counters, slots: u64) {
        assert!(counters.peers <= self.members.len() as u64);
        assert!(counters.sources <= counters.peers);
        assert!(counters.paths <= MAX_PATHS * counters.peers);
        assert!(counters.slots_held <= slots * counters.rooms);
        let rooms: HashSet<_> = self.members.values().map(|member| member.room).collect();
        assert!(counters.rooms <= rooms.len() as u64);
    }
}

/// Is the sender report one of a voice that goes on, and does it say when its packets are?
fn agrees(now: Instant, stream: &Stream, info: &SenderInfo, jitter: Option<Duration>) -> bool {
    let (Some(jitter), Some(newest), Some((began, _))) = (jitter, stream.newest, stream.began) else { return false };
    let frame = Duration::from_millis(20);
    let since = now - newest.at;
    let settled = newest.at.saturating_duration_since(began) > 50 * frame;
    if newest.csrc.is_none() || since > 2 * frame + jitter || !settled {
        return false;
    }
    let ticks = |duration: Duration| duration.as_micros() as i64 * 48 / 1000;
    let expected = newest.timestamp.wrapping_add(ticks(since) as u32);
    let error = i64::from(info.rtp_timestamp.wrapping_sub(expected) as i32);
    assert!(error.abs() <= ticks(jitter + frame), "the sender report is off by {error} ticks");
    true
}
