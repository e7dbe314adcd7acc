//! Whole rooms over a network that behaves like one: workers, their clients each behind a link of its own, and time that is
//! only told. The same seed gives the same course of events, byte for byte.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sfu::{Event, Note, Path, Placement, RoomId, Settings, Sfu, WorkerId};
use simulation::{Conditions, Link, Network, Random};

use super::audit::Audit;
use super::client::{Client, Setup};
use super::member::Member;
use super::voice::Plan;
use super::{Recorder, settings};

/// Between workers, one way.
pub const RELAY_DELAY: Duration = Duration::from_millis(1);

/// A datagram at the node's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub at: Duration,
    /// Into the node; else out of it.
    pub inward: bool,
    pub peer: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What is under way between workers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Errand {
    Packet(Vec<u8>),
    Note(Note),
}

struct Sent {
    from: usize,
    to: usize,
    errand: Errand,
}

pub struct Simulation {
    pub now: Instant,
    pub start: Instant,
    pub sfus: Vec<Sfu>,
    pub network: Network,
    pub members: Vec<Member>,
    pub audit: Audit,
    pub events: Vec<(Duration, Event)>,
    pub trace: Vec<Passed>,
    /// Relayed packets that got lost.
    pub relays_lost: u64,
    seed: u64,
    audio_slots: usize,
    /// From each worker to each, for packets.
    relays: HashMap<(usize, usize), Link>,
    /// By when they arrive, and in the order in which they were sent.
    errands: BTreeMap<(Instant, u64), Sent>,
    errand_count: u64,
    deadlines: Vec<Option<Instant>>,
}

impl Simulation {
    pub fn new(seed: u64, audio_slots: usize) -> Self {
        Self::spread(seed, audio_slots, 1, Conditions::default())
    }

    /// Several workers with `between` them, for relayed packets; notes are never lost.
    pub fn spread(seed: u64, audio_slots: usize, workers: usize, between: Conditions) -> Self {
        let start = Instant::now();
        let settings = |worker| Settings { worker: WorkerId(worker), ..settings(audio_slots, seed) };
        let random = Random::new(seed).split(0x7E1A);
        let pairs = (0..workers).flat_map(|from| (0..workers).map(move |to| (from, to)));
        let lossy_relay = between.loss != simulation::Loss::Never || between.rate.is_some();
        let slowest = RELAY_DELAY + between.delay + between.jitter;
        let relays = pairs.map(|(from, to)| {
            let conditions = Conditions { delay: RELAY_DELAY + between.delay, ..between.clone() };
            ((from, to), Link::new(conditions, random.split((from * 256 + to) as u64), start))
        });
        let relays = relays.collect();
        let grace = if workers == 1 { Duration::ZERO } else { 3 * slowest };
        let mut audit = Audit::default();
        (audit.polite, audit.grace, audit.lossy_relay) = (true, grace, lossy_relay);
        Self {
            now: start,
            start,
            sfus: (0..workers as u8).map(|worker| Sfu::new(settings(worker), start)).collect(),
            network: Network::new(start, seed),
            members: Vec::new(),
            audit,
            events: Vec::new(),
            trace: Vec::new(),
            relays_lost: 0,
            seed,
            audio_slots,
            relays,
            errands: BTreeMap::new(),
            errand_count: 0,
            deadlines: vec![None; workers],
        }
    }

    /// Since the start.
    pub fn time(&self) -> Duration {
        self.now - self.start
    }

    /// Where worker `worker` listens.
    pub fn node(worker: usize) -> SocketAddr {
        ([203, 0, 113, 1], 3478 + worker as u16).into()
    }

    fn home(&self, room: RoomId) -> WorkerId {
        WorkerId((room.0 % self.sfus.len() as u64) as u8)
    }

    /// A client behind a link that is as good or bad both ways, on the first worker.
    pub fn join(&mut self, setup: Setup, plan: Plan, link: &Conditions) -> usize {
        self.join_at(0, setup, plan, link.clone(), link.clone())
    }

    pub fn join_at(&mut self, worker: usize, setup: Setup, plan: Plan, up: Conditions, down: Conditions) -> usize {
        let number = self.members.len() as u64 + 1;
        let mut client = Client::new(number, setup, self.now);
        client.forgives = true;
        let random = Random::new(self.seed).split(number);
        self.network.attach(client.path.remote, up, down);
        let placement = Placement { room: client.room, home: self.home(client.room) };
        let mut out = Recorder::default();
        self.sfus[worker]
            .add_peer(self.now, placement, client.id, client.config(), &mut out)
            .expect("a peer like any other");
        self.audit.added(&client);
        self.members.push(Member::new(client, worker, plan, random, self.now));
        self.perform(worker, out);
        self.members.len() - 1
    }

    /// The client is seen from `outside` from now on: it comes to be behind a NAT, or that NAT gives it another mapping.
    pub fn rebind(&mut self, member: usize, outside: SocketAddr) {
        self.network.map(self.members[member].client.path.remote, outside);
    }

    /// A command to the worker of `member`, and what comes of it.
    fn command(&mut self, member: usize, command: impl FnOnce(&mut Sfu, Instant, &Client, &mut Recorder)) {
        let worker = self.members[member].worker;
        let mut out = Recorder::default();
        command(&mut self.sfus[worker], self.now, &self.members[member].client, &mut out);
        self.perform(worker, out);
    }

    pub fn mute(&mut self, member: usize, muted: bool) {
        self.audit.muted(self.now, self.members[member].client.id, muted);
        self.command(member, |sfu, now, client, out| sfu.set_muted(now, client.id, muted, out));
    }

    pub fn deafen(&mut self, member: usize, deafened: bool) {
        self.audit.deafened(self.now, self.members[member].client.id, deafened);
        self.command(member, |sfu, now, client, out| sfu.set_deafened(now, client.id, deafened, out));
    }

    pub fn ignore(&mut self, member: usize, csrcs: &[u32]) {
        self.audit.ignored(self.members[member].client.id, csrcs);
        self.command(member, |sfu, now, client, out| sfu.set_ignored(now, client.id, csrcs, out));
    }

    pub fn leave(&mut self, member: usize) {
        self.members[member].gone = true;
        let id = self.members[member].client.id;
        self.audit.left(self.now, id);
        self.command(member, |sfu, now, client, out| sfu.remove_peer(now, client.id, out));
    }

    pub fn move_to(&mut self, member: usize, room: u64) {
        let placement = Placement { room: RoomId(room), home: self.home(RoomId(room)) };
        self.members[member].client.room = placement.room;
        self.audit.moved(self.now, self.members[member].client.id, placement.room);
        self.command(member, |sfu, now, client, out| sfu.move_peer(now, client.id, placement, out));
    }

    /// An ICE restart: the client goes on with other credentials.
    pub fn restart_ice(&mut self, member: usize) {
        let now = self.now;
        let credentials = self.members[member].restart(now);
        self.audit.credentials(&self.members[member].client);
        self.command(member, |sfu, _, client, _| {
            sfu.restart_ice(client.id, credentials).expect("fresh credentials");
        });
    }

    /// A worker has failed and begins anew: its members are gone, what was under way to it or from it is lost, and the others
    /// are told.
    pub fn restart_worker(&mut self, worker: usize) {
        for member in self.members.iter_mut().filter(|member| member.worker == worker && !member.gone) {
            member.gone = true;
            self.audit.left(self.now, member.client.id);
        }
        self.errands.retain(|_, sent| sent.from != worker && sent.to != worker);
        let settings =
            Settings { worker: WorkerId(worker as u8), ..settings(self.audio_slots, self.seed ^ self.errand_count) };
        let settings = Settings { timeline: super::settings(self.audio_slots, self.seed).timeline, ..settings };
        self.sfus[worker] = Sfu::new(settings, self.start);
        self.deadlines[worker] = None;
        for other in (0..self.sfus.len()).filter(|other| *other != worker) {
            let mut out = Recorder::default();
            self.sfus[other].worker_restarted(self.now, WorkerId(worker as u8), &mut out);
            self.perform(other, out);
        }
    }

    /// A datagram with any source address comes to worker `worker` now.
    pub fn inject(&mut self, worker: usize, from: SocketAddr, bytes: Vec<u8>) {
        self.network.inject(self.now, from, Self::node(worker), bytes);
    }

    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = until;
        for sfu in &self.sfus {
            let counters = sfu.counters();
            // Rooms that are at home here may have all their members elsewhere.
            if self.sfus.len() == 1 {
                self.audit.bounded(&counters, self.audio_slots as u64);
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        let members = self.members.iter().filter_map(Member::next);
        let relay = self.errands.first_key_value().map(|((at, _), _)| *at);
        let deadlines = self.deadlines.iter().copied().flatten();
        members.chain(relay).chain(deadlines).chain(self.network.next()).min()
    }

    /// Everything that is due at `now`.
    fn step(&mut self) {
        for datagram in self.network.deliver(self.now) {
            let worker = (0..self.sfus.len()).find(|worker| Self::node(*worker) == datagram.to);
            match worker {
                Some(worker) => self.arrive(worker, datagram.from, datagram.bytes),
                None => {
                    let inside = |member: &&mut Member| member.client.path.remote == datagram.to && !member.gone;
                    if let Some(member) = self.members.iter_mut().find(inside) {
                        member.receive(self.now, datagram.bytes);
                    }
                }
            }
        }
        while let Some(entry) = self.errands.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let sent = entry.remove();
            let mut out = Recorder::default();
            let sfu = &mut self.sfus[sent.to];
            match sent.errand {
                Errand::Packet(bytes) => sfu.relayed(self.now, &bytes, &mut out),
                Errand::Note(note) => sfu.noted(self.now, WorkerId(sent.from as u8), note, &mut out),
            }
            self.perform(sent.to, out);
        }
        for member in 0..self.members.len() {
            let (from, to) = (self.members[member].client.path.remote, Self::node(self.members[member].worker));
            for bytes in self.members[member].act(self.now) {
                self.network.send(self.now, from, to, bytes);
            }
        }
        for worker in 0..self.sfus.len() {
            if self.deadlines[worker].is_some_and(|deadline| deadline <= self.now) {
                self.perform(worker, Recorder::default());
            }
        }
    }

    fn arrive(&mut self, worker: usize, from: SocketAddr, mut bytes: Vec<u8>) {
        let path = Path { local: worker as u8, remote: from };
        self.trace.push(Passed { at: self.time(), inward: true, peer: from, bytes: bytes.clone() });
        self.audit.incoming(path, &bytes);
        let sealed = bytes.clone();
        let mut out = Recorder::default();
        let before = self.sfus[worker].counters().drops;
        self.sfus[worker].handle(self.now, path, &mut bytes, &mut out);
        self.audit.handled(self.now, &sealed, &before, &self.sfus[worker].counters().drops);
        self.perform(worker, out);
    }

    /// What a worker wants done, and what else is due there.
    fn perform(&mut self, worker: usize, mut out: Recorder) {
        self.deadlines[worker] = self.sfus[worker].poll(self.now, &mut out);
        for member in self.members.iter().filter(|member| member.worker == worker && !member.gone) {
            if self.sfus[worker].selected_path(member.client.id).is_none() {
                self.audit.unreachable(member.client.id);
            }
        }
        let time = self.time();
        for event in std::mem::take(&mut out.events) {
            self.events.push((time, event));
            self.happened(worker, event, &mut out);
        }
        for (path, bytes) in out.sent {
            self.audit.outgoing(self.now, path, &bytes);
            self.trace.push(Passed { at: time, inward: false, peer: path.remote, bytes: bytes.clone() });
            self.network.send(self.now, Self::node(worker), path.remote, bytes);
        }
        for (to, note) in out.notes {
            self.errand(self.now + RELAY_DELAY, worker, usize::from(to.0), Errand::Note(note));
        }
        for (workers, bytes) in out.relayed {
            for to in workers.iter().map(|to| usize::from(to.0)) {
                let link = self.relays.get_mut(&(worker, to)).expect("one for each pair");
                let arrivals = link.send(self.now, bytes.len());
                self.relays_lost += u64::from(arrivals.0.is_none());
                for at in arrivals.iter() {
                    self.errand(at, worker, to, Errand::Packet(bytes.clone()));
                }
            }
        }
    }

    fn errand(&mut self, at: Instant, from: usize, to: usize, errand: Errand) {
        self.errands.insert((at, self.errand_count), Sent { from, to, errand });
        self.errand_count += 1;
    }

    fn happened(&mut self, worker: usize, event: Event, out: &mut Recorder) {
        let known = |id| self.members.iter().position(move |member| member.client.id == id);
        match event {
            // The handshake takes no time here.
            Event::Reachable { peer } => {
                let Some(member) = known(peer) else { return };
                let keys = self.members[member].client.keys();
                self.sfus[worker].set_keys(peer, keys, out);
                let time = self.time();
                self.events.extend(out.events.drain(..).map(|event| (time, event)));
                self.members[member].client.connected = true;
            }
            Event::Closed { peer, .. } => {
                let Some(member) = known(peer) else { return };
                self.members[member].gone = true;
                self.audit.left(self.now, peer);
            }
            _ => {}
        }
    }
}
