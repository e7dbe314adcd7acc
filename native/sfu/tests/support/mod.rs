//! Whole rooms in virtual time: an [`Sfu`], its clients, and a network that delivers at once.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod audit;
pub mod chaos;
pub mod check;
pub mod client;
pub mod member;
pub mod recorder;
pub mod script;
pub mod simulated;
pub mod voice;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use audit::Audit;
use check::Check;
use client::{Client, Rtp, Setup, nack};
pub use recorder::Recorder;
use sfu::drops::Drop;
use sfu::{Event, Path, Placement, Rejected, RoomId, Row, RowKind, Settings, Sfu, WorkerId};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
/// Between the checks of a client that is alive (RFC 7675 §5.1 asks for about this).
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// When the virtual world begins, since 1970.
pub const WALL_CLOCK: Duration = Duration::from_secs(1_800_000_000);

/// Of a worker that is alone.
pub fn settings(audio_slots: usize, seed: u64) -> Settings {
    Settings { worker: WorkerId(0), audio_slots, seed, timeline: 0x8000_0000 ^ seed as u32, wall_clock: WALL_CLOCK }
}

pub struct World {
    pub sfu: Sfu,
    pub now: Instant,
    pub start: Instant,
    pub clients: Vec<Client>,
    pub sink: Recorder,
    /// Who sits at an address.
    pub routes: HashMap<Path, usize>,
    pub audit: Audit,
    audio_slots: usize,
    deadline: Option<Instant>,
    transactions: u64,
    /// Events already looked at.
    looked_at: usize,
    /// Datagrams and their bytes, into the node and out of it.
    pub sent: (u64, u64),
    pub received: (u64, u64),
    /// Bytes out of the node, by where they went.
    pub bytes_to: HashMap<Path, usize>,
}

impl World {
    pub fn new(audio_slots: usize) -> Self {
        Self::seeded(audio_slots, 7)
    }

    pub fn seeded(audio_slots: usize, seed: u64) -> Self {
        let start = Instant::now();
        Self {
            sfu: Sfu::new(settings(audio_slots, seed), start),
            now: start,
            start,
            clients: Vec::new(),
            sink: Recorder::default(),
            routes: HashMap::new(),
            audit: Audit::default(),
            audio_slots,
            deadline: None,
            transactions: 0,
            looked_at: 0,
            sent: (0, 0),
            received: (0, 0),
            bytes_to: HashMap::new(),
        }
    }

    /// A client that the node expects and that has not yet done anything.
    pub fn add(&mut self, setup: Setup) -> usize {
        let client = Client::new(self.clients.len() as u64 + 1, setup, self.now);
        self.try_add(&client).expect("a peer like any other");
        self.audit.added(&client);
        self.clients.push(client);
        self.pump();
        self.clients.len() - 1
    }

    pub fn try_add(&mut self, client: &Client) -> Result<(), Rejected> {
        let placement = Placement { room: client.room, home: WorkerId(0) };
        self.sfu.add_peer(self.now, placement, client.id, client.config(), &mut self.sink)
    }

    /// A client to which media flows.
    pub fn join(&mut self, setup: Setup) -> usize {
        let client = self.add(setup);
        self.check(client, true);
        self.keys(client);
        client
    }

    pub fn join_all<const N: usize>(&mut self) -> [usize; N] {
        std::array::from_fn(|_| self.join(Setup::default()))
    }

    pub fn keys(&mut self, client: usize) {
        let peer = &mut self.clients[client];
        self.sfu.set_keys(peer.id, peer.keys(), &mut self.sink);
        peer.connected = true;
        self.pump();
    }

    pub fn leave(&mut self, client: usize) {
        self.clients[client].connected = false;
        self.clients[client].gone = true;
        let id = self.clients[client].id;
        self.sfu.remove_peer(self.now, id, &mut self.sink);
        self.audit.left(self.now, id);
        self.pump();
    }

    pub fn mute(&mut self, client: usize, muted: bool) {
        let id = self.clients[client].id;
        self.sfu.set_muted(self.now, id, muted, &mut self.sink);
        if !self.clients[client].gone {
            self.audit.muted(self.now, id, muted);
        }
        self.pump();
    }

    pub fn deafen(&mut self, client: usize, deafened: bool) {
        let id = self.clients[client].id;
        self.sfu.set_deafened(self.now, id, deafened, &mut self.sink);
        if !self.clients[client].gone {
            self.audit.deafened(self.now, id, deafened);
        }
        self.pump();
    }

    pub fn ignore(&mut self, client: usize, csrcs: &[u32]) {
        let id = self.clients[client].id;
        self.sfu.set_ignored(self.now, id, csrcs, &mut self.sink);
        if !self.clients[client].gone {
            self.audit.ignored(id, csrcs);
        }
        self.pump();
    }

    pub fn move_to(&mut self, client: usize, room: u64) {
        let (id, room) = (self.clients[client].id, RoomId(room));
        self.sfu.move_peer(self.now, id, Placement { room, home: WorkerId(0) }, &mut self.sink);
        if !self.clients[client].gone {
            self.clients[client].room = room;
            self.audit.moved(self.now, id, room);
        }
        self.pump();
    }

    /// An ICE restart: from now on the client's checks are made with other credentials.
    pub fn restart_ice(&mut self, client: usize) -> Result<(), Rejected> {
        let credentials = self.clients[client].renew_credentials();
        let restarted = self.sfu.restart_ice(self.clients[client].id, credentials);
        if restarted.is_ok() {
            self.audit.credentials(&self.clients[client]);
        }
        restarted
    }

    /// `client` asks for `sequence` of its slot `slot` again, and for those after it whose bits are set.
    pub fn ask(&mut self, client: usize, slot: usize, sequence: u16, after: u16) {
        let packet = nack(self.clients[client].slots[slot].ssrc, sequence, after);
        let sealed = self.clients[client].seal_rtcp_bytes(&packet);
        self.handle(self.clients[client].path, &sealed);
    }

    /// A check with the right credentials from where the client sits.
    pub fn check(&mut self, client: usize, use_candidate: bool) {
        let path = self.clients[client].path;
        self.check_from(client, path, use_candidate);
    }

    pub fn check_from(&mut self, client: usize, path: Path, use_candidate: bool) {
        let transaction = self.transaction();
        let peer = &mut self.clients[client];
        peer.path = path;
        peer.next_check = self.now + CHECK_INTERVAL;
        let check = Check {
            transaction,
            username: &peer.username(),
            password: &peer.local_password,
            use_candidate,
            controlled: false,
            extra: None,
        };
        let bytes = check.bytes();
        if !peer.gone {
            self.routes.insert(path, client);
        }
        self.handle(path, &bytes);
    }

    pub fn transaction(&mut self) -> [u8; 12] {
        self.transactions += 1;
        let mut id = [0; 12];
        id[4..].copy_from_slice(&self.transactions.to_be_bytes());
        id
    }

    /// A datagram arrives at the node.
    pub fn handle(&mut self, path: Path, datagram: &[u8]) {
        self.sent.0 += 1;
        self.sent.1 += datagram.len() as u64;
        self.audit.incoming(path, datagram);
        let before = self.sfu.counters().drops;
        self.sfu.handle(self.now, path, &mut datagram.to_vec(), &mut self.sink);
        self.audit.handled(self.now, datagram, &before, &self.sfu.counters().drops);
        self.pump();
    }

    /// `client` sends `packet` from where it sits.
    pub fn send(&mut self, client: usize, packet: &Rtp) {
        let sealed = self.clients[client].seal(packet);
        self.handle(self.clients[client].path, &sealed);
    }

    /// `client` sends its next 20 ms.
    pub fn speak(&mut self, client: usize, level: u8) {
        let packet = self.clients[client].speak(level);
        self.send(client, &packet);
    }

    /// For `frames` times 20 ms each of `voices` (client, level) speaks.
    pub fn talk(&mut self, voices: &[(usize, u8)], frames: usize) {
        for _ in 0..frames {
            for (client, level) in voices {
                self.speak(*client, *level);
            }
            self.advance(20 * MS);
        }
    }

    fn pump(&mut self) {
        self.deadline = self.sfu.poll(self.now, &mut self.sink);
        for event in &self.sink.events[self.looked_at..] {
            if let Event::Closed { peer, .. } = event {
                let closed = self.clients.iter_mut().find(|client| client.id == *peer).expect("only those who joined");
                (closed.connected, closed.gone) = (false, true);
                self.audit.left(self.now, *peer);
            }
        }
        self.looked_at = self.sink.events.len();
        for client in self.clients.iter().filter(|client| client.connected) {
            if self.sfu.selected_path(client.id).is_none() {
                self.audit.unreachable(client.id);
            }
        }
        for (path, datagram) in std::mem::take(&mut self.sink.sent) {
            self.received.0 += 1;
            self.received.1 += datagram.len() as u64;
            *self.bytes_to.entry(path).or_default() += datagram.len();
            self.audit.outgoing(self.now, path, &datagram);
            let client = *self.routes.get(&path).expect("somebody sits at every address that is sent to");
            self.clients[client].receive(self.now, datagram);
        }
    }

    /// Time passes: the node does what is due when it is due, and clients that are connected show that they live.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        loop {
            let checks = self.clients.iter().filter(|client| client.connected).map(|client| client.next_check);
            let Some(next) = checks.chain(self.deadline).min().filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            for client in 0..self.clients.len() {
                if self.clients[client].connected && self.clients[client].next_check <= self.now {
                    self.check(client, false);
                }
            }
            self.pump();
        }
        self.now = until;
    }

    pub fn dropped(&self, reason: Drop) -> u64 {
        self.sfu.counters().drops.get(reason)
    }

    pub fn rows(&self, client: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        self.sfu.statistics(&mut rows);
        let id = self.clients[client].id;
        rows.retain(|row| row.peer == id);
        rows
    }

    /// Of the peer itself.
    pub fn statistics(&self, client: usize) -> Row {
        self.row(client, RowKind::Peer)
    }

    /// The first of its kind.
    pub fn row(&self, client: usize, kind: RowKind) -> Row {
        self.rows(client).into_iter().find(|row| row.kind == kind).expect("a row for everybody")
    }

    /// What changed in the slots of `client`, in order: (slot, csrc, timestamp).
    pub fn slot_changes(&self, client: usize) -> Vec<(u8, u32, u32)> {
        let client = &self.clients[client];
        let mine = self.sink.events.iter().filter_map(|event| match *event {
            Event::SlotChanged { peer, slot, csrc, timestamp } if peer == client.id => Some((slot, csrc, timestamp)),
            Event::RoomSlot { room, slot, csrc, timestamp }
                if room == client.room && client.slots.len() >= self.audio_slots =>
            {
                Some((slot, csrc, timestamp))
            }
            _ => None,
        });
        mine.collect()
    }

    /// Every stream so far has no hole but those of its sources, and never goes back in time. For sources that keep
    /// RTP's rules, whose payloads say which packet they are.
    pub fn assert_streams_sound(&self) {
        for client in &self.clients {
            for slot in 0..client.slots.len() {
                let stream = client.stream(slot);
                for pair in stream.windows(2) {
                    let (before, after) = (&pair[0], &pair[1]);
                    let step = after.index - before.index;
                    let same = before.csrc == after.csrc && !before.is_silence() && !after.is_silence();
                    let says = before.frame().len() >= 12 && after.frame().len() >= 12;
                    let told = || after.sent_as().wrapping_sub(before.sent_as()) == step;
                    let lost = || same && before.csrc.is_some() && (!says || told());
                    assert!(step == 1 || lost(), "a hole that no network made: {before:?} {after:?}");
                    let passed = after.header.timestamp.wrapping_sub(before.header.timestamp) as i32;
                    assert!(passed >= FRAME, "time went back: {before:?} {after:?}");
                }
            }
            assert_eq!(client.heard_of(client.csrc), 0, "nobody hears itself");
        }
    }

    /// Counters and statistics agree with what went over the wire.
    pub fn assert_counters_sound(&self) {
        let counters = self.sfu.counters();
        self.audit.bounded(&counters, self.audio_slots as u64);
        assert_eq!((counters.datagrams_in, counters.bytes_in), self.sent);
        assert_eq!((counters.datagrams_out, counters.bytes_out), self.received);
        let dropped: u64 = counters.drops.iter().map(|(_, count)| count).sum();
        assert!(dropped <= counters.datagrams_in);
        let mut rows = Vec::new();
        self.sfu.statistics(&mut rows);
        rows.retain(|row| row.kind == RowKind::Peer);
        assert_eq!(rows.len() as u64, counters.peers);
        for row in rows {
            let client = self.clients.iter().find(|client| client.id == row.peer).expect("only those who joined");
            assert_eq!(row.packets_out, (client.heard.len() + client.resent.len()) as u64);
            assert!(row.packets_in <= counters.datagrams_in);
            assert!(row.rtt.is_finite() && row.jitter.is_finite() && row.level <= 127);
        }
    }
}

const FRAME: i32 = client::FRAME as i32;
