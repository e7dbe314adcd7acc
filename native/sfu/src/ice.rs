//! ICE lite (RFC 8445 §2.5): one client's credentials and the addresses from which it proved to know them.

use std::time::{Duration, Instant};

use crate::stun::{self, IntegrityKey, Message};
use crate::{MAX_DATAGRAM, Path};

/// A peer without keys by then has failed: the slowest clients (five seconds of gathering, then DTLS over a lossy path)
/// are done in half of it.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// RFC 7675 §5.1: consent expires 30 seconds after the last authenticated check.
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Addresses kept for one client: its interfaces times our sockets, and one to move to.
pub(crate) const MAX_PATHS: usize = 8;

/// What an authenticated check changed.
pub(crate) struct Checked {
    /// A path not seen before, to be entered in the demultiplexer.
    pub(crate) added: bool,
    /// A path that had to make room.
    pub(crate) evicted: Option<Path>,
    /// The client chose its first path.
    pub(crate) first_nomination: bool,
}

/// Why a check is not answered with success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// RFC 8445 §7.3.1.1: both sides claim to be controlled; we are lite, the client must control.
    RoleConflict,
    /// RFC 8489 §6.3.1: comprehension-required attributes that we do not know.
    UnknownAttribute,
}

pub(crate) struct Agent {
    key: IntegrityKey,
    remote_ufrag: String,
    paths: Vec<Path>,
    nominated: Option<Path>,
    /// It has nominated before, even if that path is lost.
    reached: bool,
    latest: Option<Path>,
    last_check: Instant,
}

impl Agent {
    pub(crate) fn new(local_password: &str, remote_ufrag: String, now: Instant) -> Self {
        Self {
            key: IntegrityKey::short_term(local_password),
            remote_ufrag,
            paths: Vec::with_capacity(2),
            nominated: None,
            reached: false,
            latest: None,
            last_check: now,
        }
    }

    /// RFC 8445 §7.3: the second half of USERNAME names the sender, the integrity proves that it knows our password.
    pub(crate) fn authenticates(&self, message: &Message<'_>, remote_ufrag: &[u8]) -> bool {
        remote_ufrag == self.remote_ufrag.as_bytes() && message.verify(&self.key)
    }

    pub(crate) fn refusal(message: &Message<'_>) -> Option<Refusal> {
        if message.controlled() {
            Some(Refusal::RoleConflict)
        } else if message.unknown_required().next().is_some() {
            Some(Refusal::UnknownAttribute)
        } else {
            None
        }
    }

    /// Take note of an authenticated check that came on `path`.
    pub(crate) fn checked(&mut self, now: Instant, path: Path, nominates: bool) -> Checked {
        self.last_check = now;
        self.latest = Some(path);
        let mut checked = Checked { added: false, evicted: None, first_nomination: false };
        if !self.paths.contains(&path) {
            if self.paths.len() == MAX_PATHS {
                // The oldest that is not in use: `paths` is in order of arrival.
                let oldest = usize::from(Some(self.paths[0]) == self.nominated);
                checked.evicted = Some(self.paths.remove(oldest));
            }
            self.paths.push(path);
            checked.added = true;
        }
        if nominates {
            checked.first_nomination = !std::mem::replace(&mut self.reached, true);
            self.nominated = Some(path);
        }
        checked
    }

    /// Where to send media: the nominated path, and the latest that passed a check before there is one.
    pub(crate) fn selected(&self) -> Option<Path> {
        self.nominated.or(self.latest)
    }

    pub(crate) fn is_nominated(&self) -> bool {
        self.nominated.is_some()
    }

    pub(crate) fn forget(&mut self, path: Path) {
        self.paths.retain(|each| *each != path);
        if self.nominated == Some(path) {
            self.nominated = None;
        }
        if self.latest == Some(path) {
            self.latest = self.paths.last().copied();
        }
    }

    pub(crate) fn paths(&self) -> &[Path] {
        &self.paths
    }

    pub(crate) fn has_consent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_check) < CONSENT_TIMEOUT
    }

    /// Write the answer to an authenticated check.
    pub(crate) fn answer(
        &self,
        out: &mut [u8; MAX_DATAGRAM],
        message: &Message<'_>,
        path: Path,
        refusal: Option<Refusal>,
    ) -> usize {
        let id = message.transaction_id();
        match refusal {
            None => stun::binding_success(out, id, path.remote, &self.key),
            Some(Refusal::RoleConflict) => stun::binding_error(out, id, 487, "Role Conflict", &[], Some(&self.key)),
            Some(Refusal::UnknownAttribute) => {
                let mut unknown = [0u16; 4];
                let mut count = 0;
                for attribute in message.unknown_required().take(unknown.len()) {
                    unknown[count] = attribute;
                    count += 1;
                }
                stun::binding_error(out, id, 420, "Unknown Attribute", &unknown[..count], Some(&self.key))
            }
        }
    }
}
