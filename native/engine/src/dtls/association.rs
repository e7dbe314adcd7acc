use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use openssl::{
    error::ErrorStack,
    srtp::SrtpProfileId,
    ssl::{ErrorCode, Ssl, SslRef, SslStream, SslVerifyMode},
};
use sfu::{
    Keys, MAX_DATAGRAM,
    srtp::{MasterKey, Profile},
};

use super::{
    Identity, Terms,
    records::{Heard, Records},
};
use crate::{event::Reason, sys};

/// What fits every path we will meet: IPv6's least of 1280 (RFC 8200 §5) less IP, UDP and a tunnel's header.
const MTU: u32 = 1200;

/// RFC 5764 §4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";

/// One peer's DTLS connection, without sockets or clocks: datagrams go in by `receive` and come out of `outgoing`.
pub(super) struct Association {
    state: State,
    outgoing: Vec<Box<[u8]>>,
}

enum State {
    Handshaking(Box<Handshake>),
    Established(Records),
    /// With a cipher suite that `Records` does not know: libssl goes on.
    Served(Box<SslStream<Datagrams>>),
    Over,
}

struct Handshake {
    stream: SslStream<Datagrams>,
    terms: Terms,
    is_stranger: Arc<AtomicBool>,
}

/// What became of an association.
pub(super) enum Progress {
    /// Nothing that others need to know.
    None,
    /// The handshake is complete, and the certificate is the promised one.
    Established(Box<Keys>),
    /// It is over; the association is to be dropped after its last datagrams are sent.
    Over(Reason),
}

impl Association {
    pub(super) fn new(identity: &Identity, terms: Terms) -> Result<Association, ErrorStack> {
        let mut ssl = Ssl::new(&identity.context)?;
        ssl.set_mtu(MTU)?;
        if terms.active {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        let is_stranger = Arc::new(AtomicBool::new(false));
        let (fingerprints, found) = (terms.fingerprints.clone(), Arc::clone(&is_stranger));
        // Within the handshake, so that a stranger is refused by an alert. Whatever else is wrong with the chain does not
        // matter: the fingerprint came by a channel we trust.
        ssl.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, move |_, chain| {
            if chain.error_depth() == 0 {
                let matches = chain.current_cert().is_some_and(|leaf| fingerprints.match_certificate(leaf));
                if !matches {
                    found.store(true, Ordering::Relaxed);
                    return false;
                }
            }
            true
        });
        let stream = SslStream::new(ssl, Datagrams::default())?;
        let handshake = Handshake { stream, terms, is_stranger };
        Ok(Association { state: State::Handshaking(Box::new(handshake)), outgoing: Vec::new() })
    }

    /// Take a datagram from the peer.
    pub(super) fn receive(&mut self, datagram: Box<[u8]>) -> Progress {
        match &mut self.state {
            State::Handshaking(handshake) => {
                handshake.stream.get_mut().incoming.push_back(datagram);
                self.advance()
            }
            State::Established(records) => match records.hear(&datagram) {
                Heard::Nothing => Progress::None,
                Heard::Handshake => {
                    self.outgoing.extend_from_slice(records.last_flight(datagram.len()));
                    Progress::None
                }
                Heard::Closed => self.end(Reason::Closed),
            },
            State::Served(stream) => {
                stream.get_mut().incoming.push_back(datagram);
                let is_over = read(stream).is_break();
                self.outgoing.append(&mut stream.get_mut().outgoing);
                if is_over { self.end(Reason::Closed) } else { Progress::None }
            }
            State::Over => Progress::None,
        }
    }

    /// Do what can be done now: begin, retransmit if that is due, work on what was received.
    pub(super) fn advance(&mut self) -> Progress {
        let State::Handshaking(handshake) = &mut self.state else { return Progress::None };
        let result = handshake.stream.do_handshake();
        let sent = self.outgoing.len();
        self.outgoing.append(&mut handshake.stream.get_mut().outgoing);
        match result {
            Ok(()) => match handshake.keys() {
                Ok(keys) => self.establish(keys, sent),
                Err(reason) => self.end(reason),
            },
            Err(error) if error.code() == ErrorCode::WANT_READ => Progress::None,
            Err(_) if handshake.is_stranger.load(Ordering::Relaxed) => self.end(Reason::Fingerprint),
            Err(_) => self.end(Reason::Handshake),
        }
    }

    /// Keep what is still needed. What goes out from `sent` on is our last flight, if the last was ours.
    fn establish(&mut self, keys: Keys, sent: usize) -> Progress {
        let State::Handshaking(handshake) = std::mem::replace(&mut self.state, State::Over) else {
            return Progress::None;
        };
        let Handshake { mut stream, terms, .. } = *handshake;
        // Records may have come behind the handshake's last.
        if read(&mut stream).is_break() {
            return self.end(Reason::Closed);
        }
        let last_flight = if terms.active { &[] } else { &self.outgoing[sent..] };
        self.state = match Records::new(stream.ssl(), terms.active, last_flight) {
            Ok(Some(records)) => State::Established(records),
            Ok(None) => State::Served(Box::new(stream)),
            Err(_) => return self.end(Reason::Handshake),
        };
        Progress::Established(Box::new(keys))
    }

    /// Say goodbye, if there is a connection to end.
    pub(super) fn close(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Established(records) => self.outgoing.extend(records.close_notify()),
            State::Served(mut stream) => {
                // It cannot block, and whether the peer hears it does not matter to us.
                let _ = stream.shutdown();
                self.outgoing.append(&mut stream.get_mut().outgoing);
            }
            State::Handshaking(_) | State::Over => {}
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking(_))
    }

    /// When `advance` must be called to repeat the last flight, if nothing is received until then.
    pub(super) fn retransmission(&self, now: Instant) -> Option<Instant> {
        let State::Handshaking(handshake) = &self.state else { return None };
        sys::retransmission_timeout(handshake.stream.ssl()).map(|left| now + left)
    }

    /// The datagrams to send, in order.
    pub(super) fn outgoing(&mut self) -> impl Iterator<Item = Box<[u8]>> {
        // All of the memory goes too: most associations never send again.
        std::mem::take(&mut self.outgoing).into_iter()
    }

    fn end(&mut self, reason: Reason) -> Progress {
        self.state = State::Over;
        Progress::Over(reason)
    }
}

impl Handshake {
    /// The SRTP keys, if the peer is who it should be (RFC 5763 §5).
    fn keys(&self) -> Result<Keys, Reason> {
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().ok_or(Reason::Fingerprint)?;
        if !self.terms.fingerprints.match_certificate(&certificate) {
            return Err(Reason::Fingerprint);
        }
        export(ssl, self.terms.active).ok_or(Reason::Handshake)
    }
}

/// Read all that there is, which is also what answers a peer that repeats its last flight because it missed ours. It breaks
/// off at a close_notify, or an alert that ends the connection.
fn read(stream: &mut SslStream<Datagrams>) -> ControlFlow<()> {
    let mut discarded = [0; MAX_DATAGRAM];
    loop {
        match stream.ssl_read(&mut discarded) {
            Ok(_) => {}
            Err(error) if error.code() == ErrorCode::WANT_READ => return ControlFlow::Continue(()),
            Err(_) => return ControlFlow::Break(()),
        }
    }
}

/// RFC 5764 §4.2: client key, server key, client salt, server salt.
fn export(ssl: &SslRef, is_client: bool) -> Option<Keys> {
    let profile = match ssl.selected_srtp_profile()?.id() {
        SrtpProfileId::SRTP_AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        SrtpProfileId::SRTP_AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
        _ => return None,
    };
    let mut material = vec![0; 2 * (profile.key_len() + profile.salt_len())];
    ssl.export_keying_material(&mut material, EXPORTER, None).ok()?;
    let (client_key, rest) = material.split_at_checked(profile.key_len())?;
    let (server_key, rest) = rest.split_at_checked(profile.key_len())?;
    let (client_salt, server_salt) = rest.split_at_checked(profile.salt_len())?;
    let client = MasterKey::new(profile, client_key, client_salt).ok()?;
    let server = MasterKey::new(profile, server_key, server_salt).ok()?;
    let (inbound, outbound) = if is_client { (server, client) } else { (client, server) };
    Some(Keys { inbound, outbound })
}

/// The transport under libssl: each read is one datagram, and each write is one.
#[derive(Debug, Default)]
struct Datagrams {
    incoming: VecDeque<Box<[u8]>>,
    outgoing: Vec<Box<[u8]>>,
}

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push(datagram.into());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
