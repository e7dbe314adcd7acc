//! A room driven by bytes, so that chance and the fuzzer can both write what happens in it.

use std::collections::HashMap;

use sfu::Path;
use sfu::rtcp::{ReportBlock, SenderInfo};
use sfu::srtp::Profile;

use super::check::Check;
use super::client::{Rtp, Setup};
use super::{MS, World};

/// More would only make every step slower.
const MAX_CLIENTS: usize = 10;

/// Play `bytes` and panic where the room does not behave: it panics itself, sends what a client cannot open, seals one
/// nonce twice, miscounts, or keeps what should be gone. With an even first byte all sources keep RTP's rules, and then
/// no stream may have holes of our making or go back in time.
pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let manners = bytes.next();
    let mut script = Script {
        polite: manners.is_multiple_of(2),
        world: World::seeded(1 + usize::from(manners / 2 % 4), u64::from(manners)),
        spoken: HashMap::new(),
        sealed: Vec::new(),
        held: Vec::new(),
    };
    script.world.audit.polite = script.polite;
    for flags in [0, 1, 132, 144] {
        script.join(flags);
    }
    let mut steps = 0;
    while !bytes.0.is_empty() {
        script.step(&mut bytes);
        steps += 1;
        if steps % 64 == 0 {
            script.world.assert_counters_sound();
        }
    }
    script.finish();
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// 0 when there are no more.
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u32 {
        u32::from_be_bytes(std::array::from_fn(|_| self.next()))
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct Script {
    polite: bool,
    world: World,
    /// Each client's latest packet, for its redundancy.
    spoken: HashMap<usize, Rtp>,
    /// The latest sealed packet, and whose.
    sealed: Vec<(usize, Vec<u8>)>,
    /// On their way.
    held: Vec<(usize, Vec<u8>)>,
}

impl Script {
    fn join(&mut self, flags: u8) {
        if self.world.clients.len() == MAX_CLIENTS {
            return;
        }
        self.world.join(Setup {
            room: 1,
            microphone: flags & 3 != 3,
            slots: usize::from(flags >> 2 & 3) * 2,
            profile: if flags & 16 == 0 { Profile::AeadAes128Gcm } else { Profile::AesCm128HmacSha1_80 },
            names_ssrc: flags & 32 == 0,
            sends_level: flags & 64 == 0,
            sends_mid: true,
            red: flags & 128 != 0,
            nack: flags & 128 != 0,
            two_byte: flags & 64 != 0,
        });
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let what = bytes.next();
        let client = usize::from(bytes.next()) % self.world.clients.len();
        match what % 48 {
            0 => self.join(bytes.next()),
            1 => self.world.leave(client),
            2 => self.world.mute(client, true),
            3 | 4 => self.world.mute(client, false),
            5 => self.world.advance(MS * 50 * u32::from(bytes.next())),
            6..=12 => self.world.advance(MS * (1 + u32::from(bytes.next() % 40))),
            13 => drop(self.world.clients[client].speak(20)),
            14 => self.hold(client, bytes.next()),
            15 | 16 => self.deliver_held(bytes.next()),
            17 => self.repeat(None),
            18 => self.repeat(Some(bytes.word())),
            19 => self.strange_rtp(client, bytes),
            20 => self.world.clients[client].index += u64::from(bytes.next()) * 128,
            21 => self.change_ssrc(client, bytes.word()),
            22 => self.check(client, bytes),
            23 => self.report(client, bytes),
            24 => self.strange_rtcp(client, bytes),
            25 => self.raw(client, bytes),
            26 => self.world.clients[client].pause(u32::from(bytes.next())),
            27 => self.world.deafen(client, bytes.next().is_multiple_of(2)),
            28 => self.ignore(client, bytes.next()),
            29 => self.world.move_to(client, 1 + u64::from(bytes.next() % 3)),
            30 => drop(self.world.restart_ice(client)),
            31 | 32 => self.ask(client, bytes),
            33 | 34 => self.speak_red(client, bytes.next() % 128),
            35 => self.quiet(client),
            36 => self.world.sfu.path_closed(self.world.clients[client].path),
            _ => self.speak(client, bytes.next() % 128),
        }
    }

    fn speak(&mut self, client: usize, level: u8) {
        let packet = self.world.clients[client].speak(level);
        let sealed = self.world.clients[client].seal(&packet);
        self.world.handle(self.world.clients[client].path, &sealed);
        self.sealed = vec![(client, sealed)];
    }

    fn speak_red(&mut self, client: usize, level: u8) {
        if !self.world.clients[client].setup.red {
            return;
        }
        let opus = self.world.clients[client].peek(level);
        let before = self.spoken.insert(client, opus);
        let before =
            before.filter(|before| self.world.clients[client].timestamp.wrapping_sub(before.timestamp) < 1 << 14);
        let packet = self.world.clients[client].speak_red(level, before.as_ref().as_slice());
        self.world.send(client, &packet);
    }

    fn quiet(&mut self, client: usize) {
        let packet = self.world.clients[client].quiet();
        self.world.send(client, &packet);
    }

    /// Some of the others, by bits.
    fn ignore(&mut self, client: usize, which: u8) {
        let others = self.world.clients.iter().enumerate().filter(|(n, _)| which >> (n % 8) & 1 == 1);
        let csrcs: Vec<u32> = others.map(|(_, other)| other.csrc).collect();
        self.world.ignore(client, &csrcs);
    }

    /// For packets about the newest of a slot again, whether they were ever sent or not.
    fn ask(&mut self, client: usize, bytes: &mut Bytes<'_>) {
        let slots = self.world.clients[client].slots.len();
        if slots == 0 {
            return;
        }
        let slot = usize::from(bytes.next()) % slots;
        let ssrc = self.world.clients[client].slots[slot].ssrc;
        let newest = self.world.clients[client].heard.iter().rev().find(|heard| heard.header.ssrc == ssrc);
        let newest = newest.map_or(0, |heard| heard.header.sequence);
        let sequence = newest.wrapping_add(8).wrapping_sub(u16::from(bytes.next()));
        self.world.ask(client, slot, sequence, u16::from_be_bytes([bytes.next(), bytes.next()]));
    }

    /// The network keeps a packet back.
    fn hold(&mut self, client: usize, level: u8) {
        let packet = self.world.clients[client].speak(level % 128);
        let sealed = self.world.clients[client].seal(&packet);
        self.held.push((client, sealed));
    }

    fn deliver_held(&mut self, which: u8) {
        if !self.held.is_empty() {
            let (client, sealed) = self.held.swap_remove(usize::from(which) % self.held.len());
            self.world.handle(self.world.clients[client].path, &sealed);
        }
    }

    /// The network repeats a packet, and damages it.
    fn repeat(&mut self, damage: Option<u32>) {
        if let Some((client, mut sealed)) = self.sealed.last().cloned() {
            if let Some(damage) = damage {
                let at = damage as usize / 256 % sealed.len();
                sealed[at] ^= damage as u8;
            }
            self.world.handle(self.world.clients[client].path, &sealed);
        }
    }

    /// A member that keeps no rule but the cipher's.
    fn strange_rtp(&mut self, client: usize, bytes: &mut Bytes<'_>) {
        if self.polite {
            return;
        }
        let mut packet = self.world.clients[client].speak(bytes.next() % 128);
        let what = bytes.next();
        if what & 1 != 0 {
            packet.payload_type = bytes.next() % 64;
        }
        if what & 2 != 0 {
            packet.ssrc ^= u32::from(bytes.next());
        }
        if what & 4 != 0 {
            packet.timestamp = bytes.word();
        }
        if what & 8 != 0 {
            packet.padding = bytes.next();
        }
        if what & 16 != 0 {
            let len = bytes.next();
            packet.payload = bytes.take(usize::from(len)).to_vec();
        }
        if what & 32 != 0 {
            packet.mid = Some(if bytes.next().is_multiple_of(2) { "0" } else { "zz" });
        }
        if what & 64 != 0 {
            packet.payload.resize(1300 + usize::from(bytes.next()), 7);
        }
        packet.marker = what & 128 != 0;
        let sealed = self.world.clients[client].seal(&packet);
        self.world.handle(self.world.clients[client].path, &sealed);
        self.sealed = vec![(client, sealed)];
    }

    fn change_ssrc(&mut self, client: usize, ssrc: u32) {
        let changed = &mut self.world.clients[client];
        // Another number space of the same key: never one that was used.
        changed.ssrc = changed.ssrc.wrapping_add(1 << 16);
        (changed.index, changed.timestamp) = (u64::from(ssrc & 0x7FFF), ssrc);
        let mut packet = changed.speak(20);
        self.world.audit.ssrc_changed(changed.csrc, changed.ssrc);
        packet.mid = Some("0");
        self.world.send(client, &packet);
    }

    fn check(&mut self, client: usize, bytes: &mut Bytes<'_>) {
        let (what, which) = (bytes.next(), bytes.next());
        let path = match what % 4 {
            0 => self.world.clients[client].path,
            1 => self.world.clients[usize::from(which) % self.world.clients.len()].path,
            _ => Path { local: which % 2, remote: ([203, 0, 113, which], 5000 + client as u16).into() },
        };
        if what & 0x30 == 0 {
            self.world.check_from(client, path, what & 4 != 0);
            return;
        }
        let transaction = self.world.transaction();
        let peer = &self.world.clients[client];
        let username = if what & 64 == 0 { peer.username() } else { String::from_utf8_lossy(bytes.take(9)).into() };
        let check = Check {
            transaction,
            username: &username,
            password: if what & 0x30 == 0x10 { "a guess" } else { &peer.local_password },
            use_candidate: true,
            controlled: what & 0x30 == 0x20,
            extra: (what & 0x30 == 0x30).then(|| 0x7000 + u16::from(which)),
        };
        let message = check.bytes();
        self.world.handle(self.world.clients[client].path, &message);
    }

    fn report(&mut self, client: usize, bytes: &mut Bytes<'_>) {
        let what = bytes.next();
        let peer = &mut self.world.clients[client];
        let ssrc = if what & 1 == 0 { peer.ssrc } else { peer.slots.first().map_or(9, |slot| slot.ssrc) };
        let block = ReportBlock {
            ssrc,
            fraction_lost: what,
            cumulative_lost: bytes.word() as i32 >> 8,
            highest_sequence: bytes.word(),
            jitter: bytes.word(),
            last_sender_report: bytes.word(),
            delay_since_last_sender_report: bytes.word(),
        };
        let info = SenderInfo {
            ntp: u64::from(bytes.word()) << 32,
            rtp_timestamp: bytes.word(),
            packets: bytes.word(),
            octets: bytes.word(),
        };
        let sealed = peer.seal_rtcp(|writer| {
            let written = match what >> 1 & 3 {
                0 => writer.receiver_report(1, &[block]),
                1 => writer.sender_report(ssrc, info, &[block, block]),
                2 => writer.bye(&[ssrc, 2, 3]),
                _ => writer.sdes_cname(ssrc, "somebody"),
            };
            written.expect("it fits");
        });
        self.world.handle(self.world.clients[client].path, &sealed);
    }

    /// A well-sealed compound of anything.
    fn strange_rtcp(&mut self, client: usize, bytes: &mut Bytes<'_>) {
        let mut plain = vec![0x80 | bytes.next() & 0x3F, 200 + bytes.next() % 8, 0, bytes.next() % 8, 0, 0, 0, 1];
        let len = bytes.next();
        plain.extend(bytes.take(usize::from(len)));
        let sealed = self.world.clients[client].seal_rtcp_bytes(&plain);
        self.world.handle(self.world.clients[client].path, &sealed);
    }

    /// Anything at all, from the address of a peer.
    fn raw(&mut self, client: usize, bytes: &mut Bytes<'_>) {
        let len = bytes.next();
        let datagram = bytes.take(usize::from(len));
        self.world.handle(self.world.clients[client].path, datagram);
    }

    fn finish(mut self) {
        self.world.advance(MS * 100);
        self.world.assert_counters_sound();
        if self.polite {
            self.world.assert_streams_sound();
        }
        for client in 0..self.world.clients.len() {
            self.world.leave(client);
        }
        self.world.advance(MS * 2000);
        let counters = self.world.sfu.counters();
        let gauges = [counters.rooms, counters.peers, counters.sources, counters.slots_held, counters.paths];
        assert_eq!(gauges, [0; 5], "something stayed behind");
        assert_eq!(self.world.sfu.poll(self.world.now, &mut self.world.sink), None);
    }
}
