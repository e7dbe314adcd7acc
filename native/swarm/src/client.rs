//! One peer: ICE, then DTLS, then RTP and RTCP, without sockets or clocks.

use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use sfu::{
    MAX_DATAGRAM,
    demux::{Kind, classify},
    drops::Drop,
    rtcp::{self, ReportBlock},
    srtp::{Inbound, Outbound},
};
use thiserror::Error;

use crate::{
    Clock, Identity, Material, Microphone, Random, Session, StreamStatistics,
    dtls::{Association, Secrets},
    ice::Ice,
    listener::Listener,
    publisher::Publisher,
};

/// Between two reports, times 0.5 to 1.5 (RFC 3550 §6.3.5).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// RFC 3550 §6.4.1: what the count field of a report holds.
const MAX_BLOCKS: usize = 31;
const NO_BLOCK: ReportBlock = ReportBlock {
    ssrc: 0,
    fraction_lost: 0,
    cumulative_lost: 0,
    highest_sequence: 0,
    jitter: 0,
    last_sender_report: 0,
    delay_since_last_sender_report: 0,
};

/// Why a client is not connected, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum Failure {
    /// No answer to any connectivity check.
    #[error("ice: no answer")]
    Unreachable,
    /// The server refused a check, with this STUN error code.
    #[error("ice: error {0}")]
    Refused(u16),
    /// DTLS did not come about, or without an SRTP profile we know.
    #[error("dtls: handshake")]
    Handshake,
    /// The server's certificate is not the promised one.
    #[error("dtls: fingerprint")]
    Fingerprint,
    /// The server ceased to answer checks (RFC 7675).
    #[error("consent")]
    Consent,
    /// The server said goodbye.
    #[error("closed by the server")]
    Closed,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Looking for the server.
    Checking,
    /// The server is there; keys are being agreed on.
    Handshaking,
    /// Media flows.
    Connected,
    /// It is over: for this reason, or (None) because it was closed.
    Over(Option<Failure>),
}

/// An RTP packet that was heard.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Of the stream.
    pub ssrc: u32,
    /// Who is heard, when the server says so.
    pub csrc: Option<u32>,
    /// Opus's, in most sessions.
    pub payload_type: u8,
    /// ROC and sequence number.
    pub index: u64,
    /// At 48 kHz.
    pub timestamp: u32,
    /// Padding left out.
    pub payload: &'a [u8],
}

/// Where effects go.
pub trait Output {
    /// One datagram to the session's remote address.
    fn send(&mut self, datagram: &[u8]);
    /// An RTP packet was opened.
    fn heard(&mut self, packet: &Packet<'_>);
}

/// Counts of one client.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// RTP packets sent.
    pub sent_packets: u64,
    /// Of their payloads.
    pub sent_bytes: u64,
    /// Voice frames that went out over 10 ms after their time, or not at all: this process is too slow.
    pub late_frames: u64,
    /// What arrived.
    pub streams: Vec<StreamStatistics>,
    /// Who was heard.
    pub csrcs: Vec<u32>,
    /// SRTP packets that came twice.
    pub duplicates: u64,
    /// Packets that did not open, or were not what they should be.
    pub refused: u64,
    /// RTP packets of SSRCs that the server had not announced.
    pub unannounced: u64,
    /// RTCP compounds received.
    pub reports: u64,
    /// Connectivity checks sent.
    pub checks_sent: u64,
    /// And answered.
    pub checks_answered: u64,
    /// Of the last check.
    pub round_trip: Option<Duration>,
    /// Of our source, as the server reported last (RFC 3550 §6.4.1).
    pub reported_lost: Option<i32>,
}

/// One peer. `poll` when `due`; `receive` what arrives.
pub struct Client {
    session: Session,
    clock: Clock,
    random: Random,
    state: State,
    ice: Ice,
    dtls: Association,
    media: Option<Box<Media>>,
    microphone: Option<Microphone>,
    duplicates: u64,
    refused: u64,
    unannounced: u64,
    reports: u64,
    reported_lost: Option<i32>,
}

/// What there is once there are keys.
struct Media {
    inbound: Inbound,
    outbound: Outbound,
    material: Material,
    publisher: Option<Publisher>,
    listener: Listener,
    next_report: Instant,
    /// Of our reports: the source's, or a random one (RFC 3550 §6.1).
    ssrc: u32,
    /// RFC 7022: nobody else's, and saying nothing.
    cname: String,
}

impl Client {
    /// `microphone` says what the session's source sends, if it has one. Errors are libssl's, which is out of memory.
    pub fn new(
        now: Instant,
        identity: &Identity,
        clock: Clock,
        session: Session,
        microphone: Option<Microphone>,
        mut random: Random,
    ) -> Result<Client, ErrorStack> {
        Ok(Client {
            ice: Ice::new(&session, Random::new(random.number()), now),
            dtls: Association::new(identity, &session, now)?,
            session,
            clock,
            random,
            state: State::Checking,
            media: None,
            microphone,
            duplicates: 0,
            refused: 0,
            unannounced: 0,
            reports: 0,
            reported_lost: None,
        })
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// When to call `poll`; None when it is over.
    pub fn due(&self) -> Option<Instant> {
        let mut due = match self.state {
            State::Over(_) => return None,
            _ => self.ice.due(),
        };
        if self.state == State::Handshaking {
            due = self.dtls.due().map_or(due, |dtls| due.min(dtls));
        }
        if let Some(media) = &self.media {
            due = due.min(media.next_report);
            due = media.publisher.as_ref().map_or(due, |publisher| due.min(publisher.due()));
        }
        Some(due)
    }

    /// Do what is due.
    pub fn poll(&mut self, now: Instant, out: &mut impl Output) {
        if matches!(self.state, State::Over(_)) {
            return;
        }
        if let Err(failure) = self.ice.poll(now, out) {
            return self.fail(failure);
        }
        if self.state == State::Handshaking && self.dtls.due().is_some_and(|due| due <= now) {
            let progress = self.dtls.advance(now);
            self.shake_hands(now, progress, out);
        }
        if let Some(media) = &mut self.media {
            if let Some(publisher) = &mut media.publisher {
                publisher.poll(now, &media.outbound, out);
            }
            if media.next_report <= now {
                media.report(now, &self.clock, false, out);
                media.next_report = now + REPORT_INTERVAL.mul_f64(0.5 + self.random.fraction());
            }
        }
    }

    /// A datagram arrived from the session's remote address. It is decrypted in place. Never panics, on any input.
    pub fn receive(&mut self, now: Instant, datagram: &mut [u8], out: &mut impl Output) {
        if matches!(self.state, State::Over(_)) {
            return;
        }
        match classify(datagram) {
            Kind::Stun => match self.ice.receive(now, datagram, out) {
                Ok(true) if self.state == State::Checking => {
                    self.state = State::Handshaking;
                    let progress = self.dtls.advance(now);
                    self.shake_hands(now, progress, out);
                }
                Ok(_) => {}
                Err(failure) => self.fail(failure),
            },
            Kind::Dtls => {
                // One that opens the handshake may know us before we know that it does.
                let progress = self.dtls.receive(now, datagram);
                self.shake_hands(now, progress, out);
            }
            Kind::Rtp => self.receive_rtp(now, datagram, out),
            Kind::Rtcp => self.receive_rtcp(now, datagram),
            Kind::Quic | Kind::Unknown => self.refused += 1,
        }
    }

    /// Say goodbye: BYE and close_notify.
    pub fn close(&mut self, now: Instant, out: &mut impl Output) {
        if matches!(self.state, State::Over(_)) {
            return;
        }
        if let Some(media) = &mut self.media {
            media.report(now, &self.clock, true, out);
        }
        self.dtls.close();
        self.dtls.outgoing().for_each(|datagram| out.send(&datagram));
        self.state = State::Over(None);
    }

    /// With which keys the server seals; None before they are agreed on.
    pub fn material(&self) -> Option<&Material> {
        self.media.as_ref().map(|media| &media.material)
    }

    /// RTP packets sent and received so far.
    pub fn packets(&self) -> (u64, u64) {
        self.media.as_ref().map_or((0, 0), |media| {
            (media.publisher.as_ref().map_or(0, |publisher| publisher.packets), media.listener.packets())
        })
    }

    /// Everything that was counted.
    pub fn statistics(&self) -> Statistics {
        let media = self.media.as_deref();
        let publisher = media.and_then(|media| media.publisher.as_ref());
        Statistics {
            sent_packets: publisher.map_or(0, |publisher| publisher.packets),
            sent_bytes: publisher.map_or(0, |publisher| publisher.octets),
            late_frames: publisher.map_or(0, |publisher| publisher.late),
            streams: media.map(|media| media.listener.streams()).unwrap_or_default(),
            csrcs: media.map(|media| media.listener.csrcs()).unwrap_or_default(),
            duplicates: self.duplicates,
            refused: self.refused,
            unannounced: self.unannounced,
            reports: self.reports,
            checks_sent: self.ice.sent,
            checks_answered: self.ice.answered,
            round_trip: self.ice.round_trip,
            reported_lost: self.reported_lost,
        }
    }

    fn shake_hands(&mut self, now: Instant, progress: Result<Option<Secrets>, Failure>, out: &mut impl Output) {
        // The last flight, or the alert, goes out whatever came of it.
        self.dtls.outgoing().for_each(|datagram| out.send(&datagram));
        match progress {
            Ok(None) => {}
            Ok(Some(secrets)) => match self.begin(now, secrets) {
                Some(media) => {
                    self.media = Some(Box::new(media));
                    self.state = State::Connected;
                }
                None => self.fail(Failure::Handshake),
            },
            Err(failure) => self.fail(failure),
        }
    }

    fn begin(&mut self, now: Instant, secrets: Secrets) -> Option<Media> {
        let publisher = self
            .session
            .source
            .zip(self.microphone.take())
            .map(|(source, microphone)| Publisher::new(source, microphone, self.clock, &mut self.random, now));
        Some(Media {
            inbound: Inbound::new(&secrets.theirs.master_key()?),
            outbound: Outbound::new(&secrets.ours.master_key()?),
            material: secrets.theirs,
            ssrc: publisher.as_ref().map_or_else(|| self.random.number() as u32, Publisher::ssrc),
            publisher,
            listener: Listener::default(),
            next_report: now + REPORT_INTERVAL.mul_f64(0.5 + self.random.fraction()),
            cname: self.random.ice_chars(16),
        })
    }

    fn receive_rtp(&mut self, now: Instant, datagram: &mut [u8], out: &mut impl Output) {
        let Some(media) = &mut self.media else {
            self.refused += 1;
            return;
        };
        let opened = match media.inbound.unprotect(datagram) {
            Ok(opened) => opened,
            Err(Drop::Replay) => {
                self.duplicates += 1;
                return;
            }
            Err(_) => {
                self.refused += 1;
                return;
            }
        };
        let packet = &datagram[..opened.len];
        let Ok(length) = opened.header.payload_len(packet) else {
            self.refused += 1;
            return;
        };
        let header = &opened.header;
        self.unannounced += u64::from(!self.session.slots.contains(&header.ssrc));
        media.listener.received(now, &self.clock, &opened, length);
        let csrc = header.csrcs(packet).next();
        if let Some(csrc) = csrc {
            media.listener.heard(csrc);
        }
        out.heard(&Packet {
            ssrc: header.ssrc,
            csrc,
            payload_type: header.payload_type,
            index: opened.index,
            timestamp: header.timestamp,
            payload: &packet[header.len..][..length],
        });
    }

    fn receive_rtcp(&mut self, now: Instant, datagram: &mut [u8]) {
        let Some(media) = &mut self.media else {
            self.refused += 1;
            return;
        };
        let Ok(length) = media.inbound.unprotect_rtcp(datagram) else {
            self.refused += 1;
            return;
        };
        self.reports += 1;
        for packet in rtcp::packets(&datagram[..length]).flatten() {
            let mut blocks = match packet {
                rtcp::Packet::SenderReport { ssrc, info, blocks } => {
                    media.listener.sender_report(now, &self.clock, ssrc, &info);
                    blocks
                }
                rtcp::Packet::ReceiverReport { blocks, .. } => blocks,
                _ => continue,
            };
            if let Some(block) = blocks.find(|block| block.ssrc == media.ssrc) {
                self.reported_lost = Some(block.cumulative_lost);
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Over(Some(failure));
    }
}

impl Media {
    /// A sender report or a receiver report, and our CNAME; at the end a BYE (RFC 3550 §6.1, §6.6).
    fn report(&mut self, now: Instant, clock: &Clock, is_last: bool, out: &mut impl Output) {
        let mut blocks = [NO_BLOCK; MAX_BLOCKS];
        let count = self.listener.report(now, clock, &mut blocks);
        let blocks = &blocks[..count];
        let mut compound = [0; MAX_DATAGRAM];
        let mut writer = rtcp::Writer::new(&mut compound);
        let written = match self.publisher.as_ref().and_then(|publisher| publisher.sender_info(now)) {
            Some(info) => writer.sender_report(self.ssrc, info, blocks),
            None => writer.receiver_report(self.ssrc, blocks),
        }
        .and_then(|()| writer.sdes_cname(self.ssrc, &self.cname))
        .and_then(|()| if is_last { writer.bye(&[self.ssrc]) } else { Ok(()) });
        debug_assert!(written.is_ok(), "31 blocks and a name fit");
        let length = writer.finish();
        let sealed = self.outbound.protect_rtcp(&mut compound, length);
        if sealed > 0 {
            out.send(&compound[..sealed]);
        }
    }
}
