//! Rooms in a real engine, whose members got their keys by hand and have a socket each on loopback.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use engine::{Engine, Event, Settings};
use sfu::{
    Keys, PeerConfig, PeerId, RoomId, SlotConfig, SourceConfig,
    rtp::{AudioLevel, OutgoingHeader},
    srtp::{MasterKey, Outbound, Profile},
    stun::{IntegrityKey, binding_request},
};

/// Opus at 40 kb/s in frames of 20 ms.
pub const PAYLOAD: [u8; 100] = [0x5A; 100];

const SLOTS: u32 = 8;
const PAYLOAD_TYPE: u8 = 111;
const LEVEL_EXTENSION: u8 = 1;

/// How long something may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Members renew their consent (RFC 7675), which lasts for 30 s, as often as this.
const CHECK_AFTER: Duration = Duration::from_secs(10);

/// Between two looks at whether all has arrived. Nobody sleeps in a socket: to be woken would cost the sender.
const LOOK: Duration = Duration::from_micros(200);

/// Some rooms of the same size, in each of which the first few members talk.
#[derive(Clone, Copy)]
pub struct Size {
    pub rooms: usize,
    pub members: usize,
    pub talkers: usize,
}

pub struct Rooms {
    engine: Engine,
    checked: Instant,
    size: Size,
    /// Of each member, its worker's address.
    servers: Vec<SocketAddr>,
    /// Of the first room, then of the second, …
    members: Vec<UdpSocket>,
    /// The first talkers of all rooms, then the second of all rooms, …
    talkers: Vec<Talker>,
}

struct Talker {
    member: usize,
    sealer: Outbound,
    index: u64,
}

/// Let this process have as many sockets as it may: a socket a member is more than many shells allow at first.
pub fn allow_sockets() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the result.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is valid.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

impl Rooms {
    pub fn new(size: Size, workers: usize) -> Result<Rooms, Box<dyn std::error::Error>> {
        let addresses = vec!["127.0.0.1".parse()?];
        let engine = Engine::start(&Settings { workers, ..Settings::new(addresses) })?;
        let joined =
            (0..size.rooms * size.members).map(|each| join(&engine, size, each)).collect::<Result<Vec<_>, _>>()?;
        let (members, servers) = joined.into_iter().unzip();
        let talkers =
            (0..size.talkers).flat_map(|talker| (0..size.rooms).map(move |room| room * size.members + talker));
        let talkers = talkers.map(|member| Talker { member, sealer: Outbound::new(&key(member)), index: 0 }).collect();
        let rooms = Rooms { engine, checked: Instant::now(), size, servers, members, talkers };
        rooms.wait_until_connected()?;
        rooms.drain()?;
        Ok(rooms)
    }

    fn wait_until_connected(&self) -> Result<(), Box<dyn std::error::Error>> {
        let deadline = Instant::now() + PATIENCE;
        let mut connected = 0;
        while connected < self.members.len() {
            if Instant::now() > deadline {
                return Err("the peers do not connect".into());
            }
            let events = self.engine.drain(usize::MAX)?;
            connected += events.iter().filter(|event| matches!(event, Event::Connected { .. })).count();
            thread::yield_now();
        }
        Ok(())
    }

    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.members.iter().map(UdpSocket::local_addr).collect()
    }

    /// Datagrams that the engine has sent, and the CPU time of the thread that did.
    pub fn spent(&self) -> Result<(u64, Duration), Box<dyn std::error::Error>> {
        let counters = self.engine.counters()?;
        Ok((counters.datagrams_out, counters.media_cpu()))
    }

    /// Every talker says `packets`, by turns, `in_a_row` each turn; on return everybody has heard them and they are gone
    /// from the sockets.
    pub fn talk(&mut self, packets: usize, in_a_row: usize) -> Result<(), Box<dyn std::error::Error>> {
        for _ in 0..packets / in_a_row {
            for talker in &mut self.talkers {
                for _ in 0..in_a_row {
                    let datagram = talker.say();
                    self.members[talker.member].send_to(&datagram, self.servers[talker.member])?;
                }
            }
        }
        // A socket's datagrams are served in order, and so are a room's members: when the last has all, all have.
        let expected = packets * self.size.talkers * self.size.rooms;
        let deadline = Instant::now() + PATIENCE;
        let mut heard = 0;
        while heard < expected {
            if Instant::now() > deadline {
                return Err(format!("{heard} of {expected} packets arrived: {:?}", self.engine.counters()?).into());
            }
            thread::sleep(LOOK);
            for last in self.members.chunks_exact(self.size.members).filter_map(<[_]>::last) {
                heard += receive(last);
            }
        }
        self.drain()?;
        self.engine.drain(usize::MAX)?;
        Ok(())
    }

    /// Renew everybody's consent, when it is time.
    pub fn check(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        if self.checked.elapsed() < CHECK_AFTER {
            return Ok(());
        }
        self.checked = Instant::now();
        for (index, member) in self.members.iter().enumerate() {
            member.set_nonblocking(false)?;
            check(member, self.servers[index], index)?;
            member.set_nonblocking(true)?;
        }
        Ok(())
    }

    /// Throw away what waits at the sockets.
    pub fn drain(&self) -> io::Result<()> {
        for member in &self.members {
            receive(member);
        }
        Ok(())
    }
}

impl Talker {
    fn say(&mut self) -> Vec<u8> {
        let header = OutgoingHeader {
            payload_type: PAYLOAD_TYPE,
            marker: false,
            sequence: self.index as u16,
            timestamp: (self.index as u32).wrapping_mul(960),
            ssrc: source_ssrc(self.member),
            csrc: None,
            level: Some((LEVEL_EXTENSION, AudioLevel { voice: true, level: 20 })),
        };
        let mut packet = vec![0; OutgoingHeader::MAX_LEN + PAYLOAD.len() + 16];
        let header_len = header.write(&mut packet);
        packet[header_len..header_len + PAYLOAD.len()].copy_from_slice(&PAYLOAD);
        let length = self.sealer.protect(self.index, &mut packet, header_len, header_len + PAYLOAD.len());
        packet.truncate(length);
        self.index += 1;
        packet
    }
}

/// Take all that waits at a socket; how many packets of voice it was.
fn receive(member: &UdpSocket) -> usize {
    let mut datagram = [0; 2048];
    let mut voices = 0;
    while let Ok(length) = member.recv(&mut datagram) {
        // Neither RTCP (RFC 5761 §4) nor STUN.
        voices += usize::from(length > 2 && datagram[0] >> 6 == 2 && !(192..224).contains(&datagram[1]));
    }
    voices
}

/// Add a peer, give it its keys, and let it nominate a new socket. That, and its worker's address.
fn join(engine: &Engine, size: Size, member: usize) -> Result<(UdpSocket, SocketAddr), Box<dyn std::error::Error>> {
    let (room, seat) = (RoomId((member / size.members) as u64 + 1), member % size.members);
    let (name, password) = credentials(member);
    let slot = |index| SlotConfig {
        ssrc: source_ssrc(member) + 1 + index,
        payload_type: PAYLOAD_TYPE,
        red_payload_type: None,
        nack: false,
        level_extension: Some(LEVEL_EXTENSION),
    };
    let source = SourceConfig {
        csrc: seat as u32 + 1,
        mid: "0".into(),
        payload_type: PAYLOAD_TYPE,
        red_payload_type: None,
        ssrc: Some(source_ssrc(member)),
        level_extension: Some(LEVEL_EXTENSION),
        mid_extension: None,
    };
    let config = PeerConfig {
        screen_sound: None,
        video: None,
        local_ufrag: name.clone(),
        local_password: password.clone(),
        remote_ufrag: name,
        remote_password: password,
        source: (seat < size.talkers).then_some(source),
        slots: (0..SLOTS).map(slot).collect(),
        cname: "bench".into(),
    };
    let peer = PeerId(member as u64);
    let worker = engine.add_peer(room, peer, config, None)?;
    let server = engine.addresses()[usize::from(worker.0)][0];
    engine.set_keys(peer, Keys { inbound: key(member), outbound: key(member) })?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    check(&socket, server, member)?;
    socket.set_nonblocking(true)?;
    Ok((socket, server))
}

/// Nominate a member's socket, and wait for the answer.
fn check(socket: &UdpSocket, server: SocketAddr, member: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut request = [0; 512];
    let (name, password) = credentials(member);
    let username = format!("{name}:{name}");
    let transaction = [member as u8; 12];
    let length = binding_request(&mut request, transaction, &username, 1, true, &IntegrityKey::short_term(&password));
    socket.send_to(&request[..length], server)?;
    socket.recv(&mut request)?;
    Ok(())
}

fn credentials(member: usize) -> (String, String) {
    (format!("peer{member}"), format!("password-of-peer{member}-peer{member}"))
}

fn source_ssrc(member: usize) -> u32 {
    (member as u32 + 1) << 8
}

fn key(member: usize) -> MasterKey {
    MasterKey::new(Profile::AeadAes128Gcm, &[member as u8; 16], &[9; 12]).expect("the lengths are the profile's")
}
