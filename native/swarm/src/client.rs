//! One peer: ICE, then DTLS, then RTP and RTCP, without sockets or clocks.

use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use sfu::demux::{Kind, classify};
use thiserror::Error;

use crate::{
    Camera, CameraStatistics, Clock, Identity, Material, Microphone, Random, Session, StreamStatistics,
    VideoStatistics,
    dtls::{Association, Secrets},
    ice::Ice,
    media::Media,
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

/// An RTP packet that was heard, or seen.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Of the stream.
    pub ssrc: u32,
    /// Who is heard, when the server says so.
    pub csrc: Option<u32>,
    /// Opus's or VP8's, in most sessions; of a repaired packet, that of the repair.
    pub payload_type: u8,
    /// ROC and sequence number.
    pub index: u64,
    /// At 48 kHz, video's at 90 kHz.
    pub timestamp: u32,
    /// Padding left out.
    pub payload: &'a [u8],
}

/// Where effects go.
pub trait Output {
    /// One datagram to the session's remote address.
    fn send(&mut self, datagram: &[u8]);
    /// An RTP packet was opened, which was not there before.
    fn heard(&mut self, packet: &Packet<'_>);
}

/// What a client sends of, as far as its session has a source for it.
#[derive(Clone, Default)]
pub struct Devices {
    /// For the audio source.
    pub microphone: Option<Microphone>,
    /// For the video source.
    pub camera: Option<Camera>,
}

/// Counts of one client.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// RTP packets of audio sent.
    pub sent_packets: u64,
    /// Of their payloads.
    pub sent_bytes: u64,
    /// Voice frames that went out over 10 ms after their time, or not at all: this process is too slow.
    pub late_frames: u64,
    /// What became of its video, if it sent some.
    pub camera: Option<CameraStatistics>,
    /// What it saw, by slot.
    pub videos: Vec<VideoStatistics>,
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
    /// Of our first source, as the server reported last (RFC 3550 §6.4.1).
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
    devices: Devices,
    refused: u64,
}

impl Client {
    /// `devices` say what the session's sources send. Errors are libssl's, which is out of memory.
    pub fn new(
        now: Instant,
        identity: &Identity,
        clock: Clock,
        session: Session,
        devices: Devices,
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
            devices,
            refused: 0,
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
            due = due.min(media.due());
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
            media.poll(now, self.ice.round_trip, out);
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
            kind @ (Kind::Rtp | Kind::Rtcp) => match &mut self.media {
                Some(media) if kind == Kind::Rtp => media.receive_rtp(now, datagram, out),
                Some(media) => media.receive_rtcp(now, datagram, out),
                None => self.refused += 1,
            },
            Kind::Quic | Kind::Unknown => self.refused += 1,
        }
    }

    /// Say goodbye: BYE and close_notify.
    pub fn close(&mut self, now: Instant, out: &mut impl Output) {
        if matches!(self.state, State::Over(_)) {
            return;
        }
        if let Some(media) = &mut self.media {
            media.report(now, true, out);
        }
        self.dtls.close();
        self.dtls.outgoing().for_each(|datagram| out.send(&datagram));
        self.state = State::Over(None);
    }

    /// Forget every so many packets of video as soon as they have come, once there is media: they are told as arrived, and asked
    /// for again. So repair can be measured while nothing is lost on the path.
    pub fn forget_every(&mut self, packets: Option<u64>) {
        if let Some(media) = &mut self.media {
            media.forget_every(packets);
        }
    }

    /// With which keys the server seals; None before they are agreed on.
    pub fn material(&self) -> Option<&Material> {
        self.media.as_ref().map(|media| &media.material)
    }

    /// RTP packets sent and received so far.
    pub fn packets(&self) -> (u64, u64) {
        self.media.as_ref().map_or((0, 0), |media| media.packets())
    }

    /// Everything that was counted.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = Statistics {
            refused: self.refused,
            checks_sent: self.ice.sent,
            checks_answered: self.ice.answered,
            round_trip: self.ice.round_trip,
            ..Statistics::default()
        };
        if let Some(media) = &self.media {
            media.count(&mut statistics);
        }
        statistics
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
        let random = Random::new(self.random.number());
        Media::begin(now, self.clock, &self.session, std::mem::take(&mut self.devices), secrets, random)
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Over(Some(failure));
    }
}
