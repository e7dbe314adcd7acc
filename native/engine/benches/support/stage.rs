//! One camera and many who watch it, in a real engine: clients with all that they have (ICE, DTLS, reports, feedback), which
//! the thread of the benchmark moves.

use std::{
    error::Error,
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use engine::{
    Engine, Settings,
    dtls::{Fingerprints, Terms},
};
use sfu::{MAX_DATAGRAM, PeerId, RoomId, Wish};
use swarm::{Camera, Client, Clock, Devices, Identity, Output, Packet, Random, State, VideoStamp, VideoStatistics};

use super::described::{Film, describe};

/// How long something may take that takes a second or a few.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the sockets. Nobody sleeps in a socket: to be woken would cost the sender.
const LOOK: Duration = Duration::from_micros(200);

/// Of the camera, which is the first peer.
const CSRC: u32 = 1;

pub struct Stage {
    engine: Engine,
    seats: Vec<Seat>,
}

/// One client and its socket; the first is the camera's.
struct Seat {
    client: Client,
    socket: UdpSocket,
    server: SocketAddr,
    seen: Seen,
}

/// The last that a client saw.
#[derive(Default)]
struct Seen {
    stamp: Option<VideoStamp>,
    packets: u64,
    bytes: u64,
}

/// A client's way out.
struct Way<'a> {
    socket: &'a UdpSocket,
    server: SocketAddr,
    seen: &'a mut Seen,
}

impl Output for Way<'_> {
    fn send(&mut self, datagram: &[u8]) {
        // What the kernel does not take is lost, as it would be further on.
        let _ = self.socket.send_to(datagram, self.server);
    }

    fn heard(&mut self, packet: &Packet<'_>) {
        self.seen.packets += 1;
        self.seen.bytes += packet.payload.len() as u64;
        self.seen.stamp = VideoStamp::read(packet.payload).or(self.seen.stamp);
    }
}

impl Stage {
    /// Everybody is connected, and watches nothing yet.
    pub fn new(camera: &Camera, watchers: usize, transport_cc: bool) -> Result<Stage, Box<dyn Error>> {
        let engine = Engine::start(&Settings::new(vec!["127.0.0.1".parse()?]))?;
        let (identity, clock) = (Identity::new()?, Clock::start());
        let films = std::iter::once(Film { camera: Some(camera), slots: 0, transport_cc: true })
            .chain((0..watchers).map(|_| Film { camera: None, slots: 1, transport_cc }));
        let mut stage = Stage { engine, seats: Vec::new() };
        for (peer, film) in (u64::from(CSRC)..).zip(films) {
            let server = stage.engine.addresses()[0][0];
            let (config, session) = describe(peer, server, stage.engine.fingerprint(), film);
            let fingerprints = Fingerprints::new([("sha-256", &identity.fingerprint()[..])])?;
            let terms = Terms { active: false, fingerprints };
            stage.engine.add_peer(RoomId(1), PeerId(peer), config, Some(terms))?;
            let devices = Devices { microphone: None, camera: film.camera.cloned() };
            let client = Client::new(Instant::now(), &identity, clock, session, devices, Random::new(peer))?;
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            stage.seats.push(Seat { client, socket, server, seen: Seen::default() });
        }
        stage.run_until(|stage| stage.seats.iter().all(|seat| seat.client.state() == State::Connected))?;
        stage.engine.set_sharing(PeerId(u64::from(CSRC)), vec![CSRC], false)?;
        Ok(stage)
    }

    /// Watcher `watcher` (from 0 on) draws the camera so wide, in pixels.
    pub fn wish(&self, watcher: usize, width: u16) -> Result<(), Box<dyn Error>> {
        let wish = Wish { slot: 0, csrc: CSRC, width, priority: 1, paused: false };
        Ok(self.engine.watch(PeerId(u64::from(CSRC) + 1 + watcher as u64), vec![wish])?)
    }

    /// Everybody wishes for the largest encoding, number `encoding`, and has it.
    pub fn wish_for_all(&mut self, encoding: u8) -> Result<(), Box<dyn Error>> {
        (0..self.seats.len() - 1).try_for_each(|watcher| self.wish(watcher, 1280))?;
        self.run_until(|stage| {
            let mut stamps = stage.seats[1..].iter().map(|seat| seat.seen.stamp);
            stamps.all(|stamp| stamp.is_some_and(|stamp| stamp.encoding == encoding))
        })
        .map_err(|error| format!("{error}: {:?}", self.seats[1].client.statistics().videos).into())
    }

    /// The encoding that a watcher saw last.
    pub fn encoding(&self, watcher: usize) -> Option<u8> {
        self.seats[1 + watcher].seen.stamp.map(|stamp| stamp.encoding)
    }

    /// The watchers' sockets once more, to be emptied of what is not the engine's.
    pub fn sockets(&self) -> std::io::Result<Vec<UdpSocket>> {
        self.seats[1..].iter().map(|seat| seat.socket.try_clone()).collect()
    }

    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.seats[1..].iter().map(|seat| seat.socket.local_addr()).collect()
    }

    /// CPU time of the media thread.
    pub fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        Ok(self.engine.counters()?.media_cpu())
    }

    /// Packets of video that all watchers have got, and bytes of payload.
    pub fn seen(&self) -> (u64, u64) {
        self.seats[1..].iter().fold((0, 0), |sum, seat| (sum.0 + seat.seen.packets, sum.1 + seat.seen.bytes))
    }

    /// What all watchers saw together.
    pub fn statistics(&self) -> VideoStatistics {
        let mut all = VideoStatistics::default();
        for seat in &self.seats[1..] {
            seat.client.statistics().videos.iter().for_each(|video| all.merge(video));
        }
        all
    }

    /// See [`Client::forget_every`]; of every watcher.
    pub fn forget_every(&mut self, packets: Option<u64>) {
        self.seats[1..].iter_mut().for_each(|seat| seat.client.forget_every(packets));
    }

    /// After a pause of the clients: until all that waited has passed.
    pub fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        self.run(Duration::from_millis(100))
    }

    /// Let time pass.
    pub fn run(&mut self, time: Duration) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Let time pass until something is so.
    pub fn run_until(&mut self, done: impl Fn(&Stage) -> bool) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() > deadline {
                return Err(format!("it takes too long: {:?}", self.engine.counters()?).into());
            }
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let mut buffer = [0; MAX_DATAGRAM];
        for seat in &mut self.seats {
            let Seat { client, socket, server, seen } = seat;
            let mut way = Way { socket, server: *server, seen };
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if from == *server {
                    client.receive(Instant::now(), &mut buffer[..length], &mut way);
                }
            }
            let now = Instant::now();
            if client.due().is_some_and(|due| due <= now) {
                client.poll(now, &mut way);
            }
            if let State::Over(failure) = client.state() {
                return Err(format!("a client is gone: {failure:?}").into());
            }
        }
        self.engine.drain(usize::MAX)?;
        thread::sleep(LOOK);
        Ok(())
    }
}
