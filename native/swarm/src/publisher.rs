//! One microphone: a frame each 20 ms while it talks, and the little that Opus sends in silence.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sfu::{
    MAX_DATAGRAM,
    rtcp::SenderInfo,
    rtp::{AudioLevel, OutgoingHeader},
    srtp::Outbound,
};

use crate::{
    Clock, Output, Random, Source,
    stamp::{OVERHEAD, Stamp},
    talk::Pattern,
    voice::{MAX_FRAME, SILENCE, Voice},
};

const FRAME: Duration = Duration::from_millis(20);
/// A frame in ticks of 48 kHz, in which Opus always counts (RFC 7587 §4.1).
const TICKS: u32 = 960;
/// How often libopus sends a frame in silence with DTX: 400 ms.
const DTX_FRAMES: u64 = 20;
/// A frame that goes out so long after its time was delayed by us and not by anybody's network.
const LATE: Duration = Duration::from_millis(10);
/// Frames that are still caught up with; who is further behind leaves the rest out.
const MAX_BEHIND: u64 = 5;
/// How loud speech is said to be, in -dBov.
const SPEECH_LEVEL: AudioLevel = AudioLevel { voice: true, level: 30 };
const SILENCE_LEVEL: AudioLevel = AudioLevel { voice: false, level: 127 };

/// What a client with a source says, and when.
#[derive(Clone)]
pub struct Microphone {
    /// Its speech.
    pub voice: Arc<Voice>,
    /// Who talks when in its room.
    pub pattern: Pattern,
    /// Its number in the pattern.
    pub member: usize,
    /// In silence send a frame every 400 ms and not every 20.
    pub dtx: bool,
    /// Write the time into each frame, as `sender` in `run`; None: frames go out as they are in the file.
    pub stamp: Option<(u32, u32)>,
}

pub(crate) struct Publisher {
    source: Source,
    microphone: Microphone,
    clock: Clock,
    /// When frame 0 is due.
    began: Instant,
    /// The next to be looked at.
    frame: u64,
    /// ROC and sequence number of the next packet.
    index: u64,
    first_timestamp: u32,
    talking: bool,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
    /// Went out later than `LATE`, or not at all.
    pub(crate) late: u64,
}

impl Publisher {
    pub(crate) fn new(source: Source, microphone: Microphone, clock: Clock, random: &mut Random, now: Instant) -> Self {
        Publisher {
            source,
            microphone,
            clock,
            // Microphones are not in step with each other.
            began: now + FRAME.mul_f64(random.fraction()),
            frame: 0,
            // RFC 3711 §3.3.1: low enough that no receiver takes it for a sequence number of before a rollover.
            index: random.number() & 0x7FFF,
            first_timestamp: random.number() as u32,
            talking: false,
            packets: 0,
            octets: 0,
            late: 0,
        }
    }

    pub(crate) fn due(&self) -> Instant {
        self.at(self.frame)
    }

    fn at(&self, frame: u64) -> Instant {
        self.began + FRAME * frame as u32
    }

    fn timestamp(&self, frame: u64) -> u32 {
        self.first_timestamp.wrapping_add((frame as u32).wrapping_mul(TICKS))
    }

    /// Send the frames that are due.
    pub(crate) fn poll(&mut self, now: Instant, srtp: &Outbound, out: &mut impl Output) {
        let mut behind = 0;
        while self.due() <= now {
            let elapsed = self.clock.elapsed(self.due());
            let talks = self.microphone.pattern.talks(self.microphone.member, elapsed);
            behind += 1;
            if behind > MAX_BEHIND {
                self.late += u64::from(talks);
                self.frame += 1;
                continue;
            }
            if talks && now - self.due() > LATE {
                self.late += 1;
            }
            self.send(now, talks, srtp, out);
            self.frame += if talks || !self.microphone.dtx { 1 } else { self.pause(elapsed) };
            self.talking = talks;
        }
    }

    /// Frames until something is sent again after silence.
    fn pause(&self, elapsed: Duration) -> u64 {
        let turn = self.microphone.pattern.turn_left(elapsed);
        let frames = turn.map(|left| left.as_nanos().div_ceil(FRAME.as_nanos()) as u64);
        frames.map_or(DTX_FRAMES, |frames| frames.clamp(1, DTX_FRAMES))
    }

    fn send(&mut self, now: Instant, talks: bool, srtp: &Outbound, out: &mut impl Output) {
        let header = OutgoingHeader {
            payload_type: self.source.payload_type,
            marker: talks && !self.talking,
            sequence: self.index as u16,
            timestamp: self.timestamp(self.frame),
            ssrc: self.source.ssrc,
            csrc: None,
            level: self.source.level_extension.map(|id| (id, if talks { SPEECH_LEVEL } else { SILENCE_LEVEL })),
        };
        const _: () = assert!(OutgoingHeader::MAX_LEN + MAX_FRAME + OVERHEAD + 16 <= MAX_DATAGRAM);
        let mut packet = [0; MAX_DATAGRAM];
        let header_len = header.write(&mut packet);
        let payload = &mut packet[header_len..];
        let frame = if talks { self.microphone.voice.frame(self.voice_place()) } else { &SILENCE };
        let payload_len = match self.microphone.stamp {
            Some((run, sender)) if talks => Stamp { run, sender, sent: self.clock.elapsed(now) }.write(frame, payload),
            _ => {
                payload[..frame.len()].copy_from_slice(frame);
                frame.len()
            }
        };
        let length = srtp.protect(self.index, &mut packet, header_len, header_len + payload_len);
        out.send(&packet[..length]);
        self.index += 1;
        self.packets += 1;
        self.octets += payload_len as u64;
    }

    /// Everybody says the same, but not in chorus.
    fn voice_place(&self) -> usize {
        self.frame as usize + self.microphone.member * 37
    }

    /// For the next sender report (RFC 3550 §6.4.1); None before there is something to report.
    pub(crate) fn sender_info(&self, now: Instant) -> Option<SenderInfo> {
        let since = now.checked_duration_since(self.began).filter(|_| self.packets > 0)?;
        let ticks = since.as_nanos() * u128::from(TICKS) / FRAME.as_nanos();
        Some(SenderInfo {
            ntp: self.clock.ntp(now),
            rtp_timestamp: self.first_timestamp.wrapping_add(ticks as u32),
            packets: self.packets as u32,
            octets: self.octets as u32,
        })
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.source.ssrc
    }
}
