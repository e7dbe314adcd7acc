//! The engine in a child process, and the clients that join it.

use std::{
    env,
    error::Error,
    fs, io,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, UdpSocket},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use engine::dtls::{Fingerprints, Terms};
use sfu::{PeerId, RoomId};
use swarm::{Clock, Devices, Identity, Join, Microphone, Progress, Random, Session, Settings, Swarm};

use crate::support::{Node, describe};

/// The first word of the child's command line.
pub const ROLE: &str = "engine-process";
/// How long something may take that takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Ticks a second of /proc/stat, on every architecture that this runs on.
const USER_HZ: f64 = 100.0;
/// Handshakes under way at a time: enough to keep the engine busy, and few enough that nobody waits for a second.
const IN_FLIGHT: u64 = 64;

/// What is to join.
#[derive(Clone, Copy)]
pub struct Kind {
    pub room_size: u64,
    pub publishes: bool,
    pub slots: usize,
    /// By DTLS; else it stays what it is after `add_peer`.
    pub connects: bool,
}

/// The child: does what it is told, a line at a time.
pub fn serve() -> Result<(), Box<dyn Error>> {
    let node = Node::start()?;
    println!("{} {}", node.address(), hex(node.engine.fingerprint()));
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let &[first, count, room_size, publishes, slots, fingerprint] = &words[..] else { return Err("a line".into()) };
        let (first, count, room_size): (u64, u64, u64) = (first.parse()?, count.parse()?, room_size.parse()?);
        for peer in first..first + count {
            let (address, ours) = (node.address(), node.engine.fingerprint());
            let (config, _) = describe(peer, address, ours, publishes == "true", slots.parse()?);
            let terms = match fingerprint {
                "-" => None,
                digest => {
                    let fingerprints = Fingerprints::new([("sha-256", &unhex(digest)?[..])])?;
                    Some(Terms { active: false, fingerprints })
                }
            };
            node.engine.add_peer(RoomId(peer / room_size), PeerId(peer), config, terms)?;
        }
        // Nobody else reads them, and what they take is not the peers'.
        while !node.engine.drain(usize::MAX)?.is_empty() {}
        println!("done");
    }
    Ok(())
}

/// The parent's side.
pub struct Host {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    address: SocketAddr,
    fingerprint: [u8; 32],
    next: u64,
}

/// CPU time of the engine's threads.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub media: Duration,
    pub all: Duration,
}

impl Host {
    pub fn start() -> Result<Host, Box<dyn Error>> {
        let mut child =
            Command::new(env::current_exe()?).arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let (address, digest) = line.trim().split_once(' ').ok_or("the engine does not start")?;
        let fingerprint = unhex(digest)?.try_into().map_err(|_| "a digest")?;
        Ok(Host { address: address.parse()?, fingerprint, child, orders, answers, next: 1 << 20 })
    }

    /// Let peers be added; their sessions. Their rooms are full in order: `room_size` first ones in the first.
    pub fn admit(&mut self, count: u64, kind: Kind, identity: &Identity) -> Result<Vec<Session>, Box<dyn Error>> {
        let first = self.next.next_multiple_of(kind.room_size);
        self.next = first + count;
        let fingerprint = if kind.connects { hex(identity.fingerprint()) } else { "-".into() };
        let Kind { room_size, publishes, slots, .. } = kind;
        self.order(&format!("{first} {count} {room_size} {publishes} {slots} {fingerprint}"))?;
        let session = |peer| describe(peer, self.address, &self.fingerprint, publishes, slots).1;
        Ok((first..first + count).map(session).collect())
    }

    fn order(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        writeln!(self.orders.as_ref().ok_or("stopped")?, "{line}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer == "done\n" { Ok(()) } else { Err("the engine ended".into()) }
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> Result<f64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().next().ok_or("no VmRSS")?.parse()?;
        Ok(kilobytes * 1024.0)
    }

    pub fn cpu(&self) -> Result<Cpu, Box<dyn Error>> {
        let mut cpu = Cpu::default();
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let folder = thread?.path();
            let time = thread_cpu(&fs::read_to_string(folder.join("schedstat"))?)?;
            let name = fs::read_to_string(folder.join("comm"))?;
            // The main thread reads our orders.
            if name.starts_with("chorale-") {
                cpu.all += time;
            }
            if name.starts_with("chorale-media") {
                cpu.media += time;
            }
        }
        Ok(cpu)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.orders = None;
        let _ = self.child.wait();
    }
}

/// CPU time of all threads of this process.
pub fn own_cpu() -> Result<Duration, Box<dyn Error>> {
    fs::read_dir("/proc/self/task")?
        .map(|thread| thread_cpu(&fs::read_to_string(thread?.path().join("schedstat"))?))
        .sum::<Result<Duration, _>>()
}

/// Time that the machine's cores had nothing to do, of all together (proc(5), /proc/stat).
pub fn idle() -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks: u64 = stat.split_ascii_whitespace().nth(4).ok_or("no /proc/stat")?.parse()?;
    Ok(Duration::from_secs_f64(ticks as f64 / USER_HZ))
}

/// The first field, in nanoseconds (Linux, Documentation/scheduler/sched-stats.rst).
fn thread_cpu(schedstat: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_nanos(schedstat.split(' ').next().ok_or("no schedstat")?.parse()?))
}

/// Clients of this process.
pub struct Clients {
    pub swarm: Swarm,
    pub identity: Arc<Identity>,
    pub run: u32,
    number: u64,
}

impl Clients {
    pub fn new() -> Result<Clients, Box<dyn Error>> {
        let (identity, run) = (Arc::new(Identity::new()?), Random::from_entropy().number() as u32);
        let swarm =
            Swarm::start(&Settings { threads: 1, identity: Arc::clone(&identity), clock: Clock::start(), run })?;
        Ok(Clients { swarm, identity, run, number: 0 })
    }

    /// Let them join, a few at a time, and wait until all have.
    pub fn join(
        &mut self,
        sessions: Vec<Session>,
        microphone: impl Fn(usize) -> Option<Microphone>,
    ) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + PATIENCE;
        let before = self.swarm.progress().connected;
        let count = sessions.len() as u64;
        for (at, session) in sessions.into_iter().enumerate() {
            while at as u64 >= self.progress()?.connected - before + IN_FLIGHT {
                wait(deadline)?;
            }
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            let (number, began) = (self.number, Instant::now());
            let devices = Devices { microphone: microphone(at), camera: None };
            self.number += 1;
            self.swarm.add(Join { number, session, socket, devices, began, dump: None })?;
        }
        while self.progress()?.connected < before + count {
            wait(deadline)?;
        }
        Ok(())
    }

    fn progress(&self) -> Result<Progress, Box<dyn Error>> {
        let progress = self.swarm.progress();
        if progress.failed > 0 {
            return Err(format!("the machine is too busy, peers failed: {progress:?}").into());
        }
        Ok(progress)
    }
}

fn wait(deadline: Instant) -> Result<(), Box<dyn Error>> {
    if Instant::now() > deadline {
        return Err("the peers do not connect".into());
    }
    thread::sleep(Duration::from_micros(500));
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}
