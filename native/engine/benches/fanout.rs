//! What a forwarded packet costs the media thread: one talker, N listeners, each with a socket of its own on loopback.
//!
//! Beside it, in the same run, the least that it could cost: a loop that does nothing but seal with AES-128-GCM and send
//! with `sendmmsg` to the same sockets. One line of JSON for each N: packets out per second of CPU time of either, and
//! their ratio. The listeners are drained between the rounds, outside of both clocks.
//!
//! `cargo bench -p engine --bench fanout [-- N…]`

use std::{
    env, io, mem,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    ptr, thread,
    time::{Duration, Instant},
};

use engine::{Engine, Event, Settings};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sfu::{
    Keys, PeerConfig, PeerId, RoomId, SlotConfig, SourceConfig,
    rtp::{AudioLevel, OutgoingHeader},
    srtp::{MasterKey, Outbound, Profile},
    stun::{IntegrityKey, binding_request},
};

const LISTENERS: [usize; 2] = [100, 500];

/// Packets of the talker between two drains: a listener's socket buffer holds a multiple.
const BURST: u64 = 50;

/// Datagrams to send before measuring, and while.
const WARM_UP: u64 = 50_000;
const MEASURED: u64 = 500_000;

/// Opus at 32 kb/s in frames of 20 ms.
const PAYLOAD: [u8; 80] = [0x5A; 80];

const ROOM: RoomId = RoomId(1);
const TALKER: PeerId = PeerId(0);
const CSRC: u32 = 7;
const SSRC: u32 = 8;
const PAYLOAD_TYPE: u8 = 111;
const LEVEL_EXTENSION: u8 = 1;

/// How long something may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let asked: Vec<usize> = env::args().filter_map(|argument| argument.parse().ok()).collect();
    for listeners in if asked.is_empty() { LISTENERS.to_vec() } else { asked } {
        let room = Room::new(listeners)?;
        let (forwarded, length) = room.forward()?;
        let bare = bare(&room.listeners, length)?;
        println!(
            r#"{{"forwarded_per_cpu_s":{forwarded:.0},"bare_per_cpu_s":{bare:.0},"ratio":{:.3},"listeners":{listeners}}}"#,
            forwarded / bare
        );
    }
    Ok(())
}

/// A room in a real engine, whose peers got their keys by hand.
struct Room {
    engine: Engine,
    talker: UdpSocket,
    listeners: Vec<UdpSocket>,
}

impl Room {
    fn new(listeners: usize) -> Result<Room, Box<dyn std::error::Error>> {
        let addresses = vec!["127.0.0.1".parse()?];
        let engine = Engine::start(&Settings { addresses, port: 0, audio_slots: 8 })?;
        let source = SourceConfig {
            csrc: CSRC,
            mid: "0".into(),
            payload_type: PAYLOAD_TYPE,
            red_payload_type: None,
            ssrc: Some(SSRC),
            level_extension: Some(LEVEL_EXTENSION),
            mid_extension: None,
        };
        let slots = |peer: u64| {
            let slot = |index| SlotConfig {
                ssrc: (peer as u32) << 8 | index,
                payload_type: PAYLOAD_TYPE,
                red_payload_type: None,
                nack: false,
                level_extension: Some(LEVEL_EXTENSION),
            };
            (0..8).map(slot).collect()
        };
        let talker = connect(&engine, TALKER, Some(source), Vec::new())?;
        let listeners = (1..=listeners as u64)
            .map(|peer| connect(&engine, PeerId(peer), None, slots(peer)))
            .collect::<Result<Vec<_>, _>>()?;
        let room = Room { engine, talker, listeners };
        room.wait_until_connected()?;
        drain(&room.listeners)?;
        Ok(room)
    }

    fn wait_until_connected(&self) -> Result<(), Box<dyn std::error::Error>> {
        let deadline = Instant::now() + PATIENCE;
        let mut connected = 0;
        while connected <= self.listeners.len() {
            if Instant::now() > deadline {
                return Err("the peers do not connect".into());
            }
            let events = self.engine.drain(usize::MAX)?;
            connected += events.iter().filter(|event| matches!(event, Event::Connected { .. })).count();
            thread::yield_now();
        }
        Ok(())
    }

    /// Datagrams out per second of the media thread's CPU time, and the length of one.
    fn forward(&self) -> Result<(f64, usize), Box<dyn std::error::Error>> {
        let sealer = Outbound::new(&key(TALKER));
        let mut index = 0;
        let mut length = 0;
        let mut run = |datagrams: u64| -> Result<(), Box<dyn std::error::Error>> {
            for _ in 0..(datagrams / self.listeners.len() as u64).div_ceil(BURST) {
                for _ in 0..BURST {
                    self.talker.send(&voice(&sealer, index))?;
                    index += 1;
                }
                // The members are served in order: when the last has all, all have.
                let (last, others) = self.listeners.split_last().ok_or("no listeners")?;
                let mut heard = 0;
                while heard < BURST {
                    let mut datagram = [0; 2048];
                    let received = last.recv(&mut datagram)?;
                    // Not a sender report (RFC 5761 §4).
                    if !(192..224).contains(&datagram[1]) {
                        heard += 1;
                        length = received;
                    }
                }
                drain(others)?;
                self.engine.drain(usize::MAX)?;
            }
            Ok(())
        };
        run(WARM_UP)?;
        let before = self.engine.counters()?;
        run(MEASURED)?;
        let after = self.engine.counters()?;
        let datagrams = after.datagrams_out - before.datagrams_out;
        Ok((datagrams as f64 / (after.worker_cpu - before.worker_cpu).as_secs_f64(), length))
    }
}

/// Datagrams of `length` bytes per CPU second of a thread that seals and sends, and does nothing else.
fn bare(listeners: &[UdpSocket], length: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let addresses = listeners.iter().map(UdpSocket::local_addr).collect::<io::Result<Vec<_>>>()?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // The listeners' sockets are connected to the engine's; let go of that, so that they take ours.
    for (listener, address) in listeners.iter().zip(&addresses) {
        listener.connect(socket.local_addr()?)?;
        debug_assert_eq!(listener.local_addr()?, *address);
    }
    let keys = (0..listeners.len() as u64)
        .map(|peer| Ok(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[peer as u8; 16])?)))
        .collect::<Result<Vec<_>, ring::error::Unspecified>>()
        .map_err(|_| "a key of 16 bytes is right for AES-128")?;
    let mut batch = Batch::new(socket, &addresses, length);
    let mut sequence = 0u64;
    let mut cpu = Duration::ZERO;
    let mut sent = 0;
    for round in 0..((WARM_UP + MEASURED) / listeners.len() as u64).div_ceil(BURST) {
        let clock = engine::thread_cpu();
        let mut taken = 0;
        for _ in 0..BURST {
            sequence += 1;
            for (packet, key) in batch.packets.chunks_exact_mut(length).zip(&keys) {
                seal(key, sequence, packet);
            }
            taken += batch.send()?;
        }
        if round * BURST * listeners.len() as u64 >= WARM_UP {
            cpu += engine::thread_cpu() - clock;
            sent += taken;
        }
        drain(listeners)?;
    }
    Ok(sent as f64 / cpu.as_secs_f64())
}

/// One datagram for each of some sockets, described to the kernel once and sent by one call. It shares nothing with the
/// engine, whose own batching would otherwise cancel out of the comparison.
struct Batch {
    socket: UdpSocket,
    packets: Vec<u8>,
    headers: Vec<libc::mmsghdr>,
    // What the headers point to.
    _names: Vec<libc::sockaddr_in>,
    _vectors: Vec<libc::iovec>,
}

impl Batch {
    /// At most 1024 addresses (the kernel's UIO_MAXIOV), all of IPv4; `length` bytes for each.
    fn new(socket: UdpSocket, addresses: &[SocketAddr], length: usize) -> Batch {
        assert!(addresses.len() <= 1024, "one call sends no more");
        let mut packets = vec![0u8; addresses.len() * length];
        let name = |address: &SocketAddr| match address {
            SocketAddr::V4(v4) => libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            },
            SocketAddr::V6(_) => unreachable!("the listeners are on 127.0.0.1"),
        };
        let mut names: Vec<_> = addresses.iter().map(name).collect();
        let mut vectors: Vec<_> = packets
            .chunks_exact_mut(length)
            .map(|packet| libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: length })
            .collect();
        let headers = names
            .iter_mut()
            .zip(&mut vectors)
            .map(|(name, vector)| {
                // SAFETY: a header of null pointers and zero lengths is a value.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Batch { socket, packets, headers, _names: names, _vectors: vectors }
    }

    /// How many the kernel took.
    fn send(&mut self) -> io::Result<u64> {
        // SAFETY: each header points to a name, a vector and a packet in heap memory that `self` owns and never resizes.
        let taken = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), self.headers.as_mut_ptr(), self.headers.len() as libc::c_uint, 0)
        };
        u64::try_from(taken).map_err(|_| io::Error::last_os_error())
    }
}

/// The packet that the engine sends, without the engine.
fn seal(key: &LessSafeKey, sequence: u64, packet: &mut [u8]) {
    let (header_len, length) = (24, packet.len());
    let text = length - AES_128_GCM.tag_len();
    packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    packet[header_len..text].copy_from_slice(&PAYLOAD);
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
    let (header, rest) = packet.split_at_mut(header_len);
    let (text, tag) = rest.split_at_mut(text - header_len);
    let sealed = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), text);
    tag.copy_from_slice(sealed.expect("a datagram is short enough").as_ref());
}

/// Add a peer, give it its keys, and let it nominate a new socket.
fn connect(
    engine: &Engine,
    peer: PeerId,
    source: Option<SourceConfig>,
    slots: Vec<SlotConfig>,
) -> Result<UdpSocket, Box<dyn std::error::Error>> {
    let name = format!("peer{}", peer.0);
    let password = format!("password-of-{name}-{name}");
    let config = PeerConfig {
        local_ufrag: name.clone(),
        local_password: password.clone(),
        remote_ufrag: name.clone(),
        remote_password: password.clone(),
        source,
        slots,
        cname: "bench".into(),
    };
    engine.add_peer(ROOM, peer, config, None)?;
    engine.set_keys(peer, Keys { inbound: key(peer), outbound: key(peer) })?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let server: SocketAddr = engine.addresses()[0];
    socket.connect(server)?;
    let mut request = [0; 512];
    let username = format!("{name}:{name}");
    let length =
        binding_request(&mut request, [peer.0 as u8; 12], &username, 1, true, &IntegrityKey::short_term(&password));
    socket.send(&request[..length])?;
    socket.recv(&mut request)?;
    Ok(socket)
}

fn key(peer: PeerId) -> MasterKey {
    MasterKey::new(Profile::AeadAes128Gcm, &[peer.0 as u8; 16], &[9; 12]).expect("the lengths are the profile's")
}

fn voice(sealer: &Outbound, index: u64) -> Vec<u8> {
    let header = OutgoingHeader {
        payload_type: PAYLOAD_TYPE,
        marker: false,
        sequence: index as u16,
        timestamp: (index as u32).wrapping_mul(960),
        ssrc: SSRC,
        csrc: None,
        level: Some((LEVEL_EXTENSION, AudioLevel { voice: true, level: 20 })),
    };
    let mut packet = vec![0; OutgoingHeader::MAX_LEN + PAYLOAD.len() + 16];
    let header_len = header.write(&mut packet);
    packet[header_len..header_len + PAYLOAD.len()].copy_from_slice(&PAYLOAD);
    let length = sealer.protect(index, &mut packet, header_len, header_len + PAYLOAD.len());
    packet.truncate(length);
    packet
}

/// Throw away what waits at the sockets.
fn drain(sockets: &[UdpSocket]) -> io::Result<()> {
    for socket in sockets {
        socket.set_nonblocking(true)?;
        while socket.recv(&mut [0; 2048]).is_ok() {}
        socket.set_nonblocking(false)?;
    }
    Ok(())
}
