//! ICE of a client that controls (RFC 8445), towards one candidate of a server, and consent (RFC 7675).

use std::time::{Duration, Instant};

use sfu::{
    MAX_DATAGRAM,
    stun::{Class, IntegrityKey, Message, binding_request, binding_success},
};

use crate::{Failure, Output, Random, Session};

/// RFC 8445 §14.3: the first retransmission comes no sooner.
const RETRANSMISSION: Duration = Duration::from_millis(500);
/// A server that answered none of four checks will not answer the fifth sooner.
const RETRANSMISSION_MAX: Duration = Duration::from_secs(2);
/// Without an answer by then there is no way to the server.
const LIMIT: Duration = Duration::from_secs(15);
/// Between checks for consent, times 0.8 to 1.2: half of what RFC 7675 §5.1 has, so that one lost answer never matters.
const CONSENT_INTERVAL: Duration = Duration::from_millis(2500);
/// RFC 7675 §5.1.
const CONSENT_LIMIT: Duration = Duration::from_secs(30);
/// RFC 8445 §5.1.2.2: type preference of peer-reflexive candidates, any local preference, component 1.
const PRIORITY: u32 = 110 << 24 | 65_535 << 8 | 255;
/// RFC 8489 §5: the only method of ICE.
const BINDING: u16 = 0x001;

pub(crate) struct Ice {
    /// Of our checks: `server's ufrag:ours`.
    username: String,
    /// Of the server's checks.
    expected_username: String,
    peer_key: IntegrityKey,
    local_key: IntegrityKey,
    mapped: std::net::SocketAddr,
    random: Random,
    /// The check that waits for its answer, and when it was first sent.
    transaction: Option<([u8; 12], Instant)>,
    next_check: Instant,
    retransmission: Duration,
    /// When the server last answered, or when we began.
    confirmed: Instant,
    reachable: bool,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) round_trip: Option<Duration>,
}

impl Ice {
    pub(crate) fn new(session: &Session, mut random: Random, now: Instant) -> Ice {
        random.number();
        Ice {
            username: format!("{}:{}", session.peer.ufrag, session.local.ufrag),
            expected_username: format!("{}:{}", session.local.ufrag, session.peer.ufrag),
            peer_key: IntegrityKey::short_term(&session.peer.password),
            local_key: IntegrityKey::short_term(&session.local.password),
            mapped: session.remote,
            random,
            transaction: None,
            next_check: now,
            retransmission: RETRANSMISSION,
            confirmed: now,
            reachable: false,
            sent: 0,
            answered: 0,
            round_trip: None,
        }
    }

    pub(crate) fn due(&self) -> Instant {
        self.next_check
    }

    /// Send the check that is due.
    pub(crate) fn poll(&mut self, now: Instant, out: &mut impl Output) -> Result<(), Failure> {
        if now < self.next_check {
            return Ok(());
        }
        let silent = now.saturating_duration_since(self.confirmed);
        if self.reachable {
            if silent >= CONSENT_LIMIT {
                return Err(Failure::Consent);
            }
            // RFC 7675 §5.1: never again under the same transaction id, and never at a fixed pace.
            self.transaction = None;
            self.next_check = now + CONSENT_INTERVAL.mul_f64(0.8 + 0.4 * self.random.fraction());
        } else {
            if silent >= LIMIT {
                return Err(Failure::Unreachable);
            }
            self.next_check = now + self.retransmission;
            self.retransmission = (self.retransmission * 2).min(RETRANSMISSION_MAX);
        }
        let (id, _) = *self.transaction.get_or_insert_with(|| {
            let mut id = [0; 12];
            id[..8].copy_from_slice(&self.random.number().to_be_bytes());
            id[8..].copy_from_slice(&(self.random.number() as u32).to_be_bytes());
            (id, now)
        });
        let mut request = [0; MAX_DATAGRAM];
        let length = binding_request(&mut request, id, &self.username, PRIORITY, true, &self.peer_key);
        out.send(&request[..length]);
        self.sent += 1;
        Ok(())
    }

    /// Take a STUN message. True when it is the first proof that the server is there and knows us.
    pub(crate) fn receive(&mut self, now: Instant, datagram: &[u8], out: &mut impl Output) -> Result<bool, Failure> {
        let Ok(message) = Message::parse(datagram) else { return Ok(false) };
        if message.method() != BINDING {
            return Ok(false);
        }
        match message.class() {
            Class::Success => Ok(self.confirm(now, &message)),
            Class::Error => match (self.transaction, message.error_code()) {
                // RFC 8445 §7.2.5.1 wants the integrity checked, and servers that do not know us cannot make one.
                (Some((id, _)), Some(code)) if id == message.transaction_id() && !self.reachable => {
                    Err(Failure::Refused(code))
                }
                _ => Ok(false),
            },
            Class::Request => {
                self.answer(&message, out);
                Ok(false)
            }
            Class::Indication => Ok(false),
        }
    }

    fn confirm(&mut self, now: Instant, message: &Message<'_>) -> bool {
        let Some((id, asked)) = self.transaction else { return false };
        if id != message.transaction_id() || !message.verify(&self.peer_key) {
            return false;
        }
        self.transaction = None;
        self.answered += 1;
        self.round_trip = Some(now.saturating_duration_since(asked));
        self.confirmed = now;
        if !self.reachable {
            self.next_check = now + CONSENT_INTERVAL.mul_f64(0.8 + 0.4 * self.random.fraction());
        }
        !std::mem::replace(&mut self.reachable, true)
    }

    /// A server that is not lite checks us too.
    fn answer(&self, message: &Message<'_>, out: &mut impl Output) {
        if message.username() == Some(self.expected_username.as_bytes()) && message.verify(&self.local_key) {
            let mut answer = [0; MAX_DATAGRAM];
            let length = binding_success(&mut answer, message.transaction_id(), self.mapped, &self.local_key);
            out.send(&answer[..length]);
        }
    }
}
