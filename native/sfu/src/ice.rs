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

/// Packets in a row on another checked path, with nothing on the nominated one, until media follows them there: reordering
/// across a change is shorter.
const STRAYS: u8 = 10;
/// A check weighs as many: two in a row come from where the client is, seconds apart.
const CHECK: u8 = 5;
/// Transactions remembered, so that a check that somebody recorded is not believed from elsewhere: those of a minute or so.
const TRANSACTIONS: usize = 16;
/// Bytes that may be owed to an address without a check: a second of one voice.
const ROAMING_CREDIT: u32 = 8_000;

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

/// One pair of fragments and the password that goes with ours; an ICE restart brings another (RFC 8445 §2.4).
pub(crate) struct Credentials {
    pub(crate) local_ufrag: String,
    key: IntegrityKey,
    remote_ufrag: String,
}

impl Credentials {
    pub(crate) fn new(local_ufrag: String, local_password: &str, remote_ufrag: String) -> Self {
        Self { local_ufrag, key: IntegrityKey::short_term(local_password), remote_ufrag }
    }

    /// RFC 8445 §7.3: USERNAME names receiver and sender, the integrity proves that the sender knows our password.
    fn authenticate(&self, message: &Message<'_>, local_ufrag: &str, remote_ufrag: &[u8]) -> bool {
        local_ufrag == self.local_ufrag && remote_ufrag == self.remote_ufrag.as_bytes() && message.verify(&self.key)
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

/// Which credentials a check was made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Generation {
    Present,
    /// Of a restart that is not complete.
    Next,
}

/// A client whose media came from an address that no check came from: a NAT has given it another.
struct Roaming {
    path: Path,
    /// Bytes that came from there and were not answered by as many: what an address gets that has not said it wants more.
    credit: u32,
}

pub(crate) struct Agent {
    present: Credentials,
    next: Option<Box<Credentials>>,
    paths: Vec<Path>,
    nominated: Option<Path>,
    /// It has nominated before, even if that path is lost.
    reached: bool,
    latest: Option<Path>,
    last_check: Instant,
    roaming: Option<Roaming>,
    /// Packets in a row from a path that was checked and is not the nominated one, and which.
    strays: u8,
    stray: Option<Path>,
    /// The latest checks, and where they came from first.
    transactions: [Option<([u8; 12], Path)>; TRANSACTIONS],
    next_transaction: usize,
}

impl Agent {
    pub(crate) fn new(credentials: Credentials, now: Instant) -> Self {
        Self {
            present: credentials,
            next: None,
            paths: Vec::with_capacity(2),
            nominated: None,
            reached: false,
            latest: None,
            last_check: now,
            roaming: None,
            strays: 0,
            stray: None,
            transactions: [None; TRANSACTIONS],
            next_transaction: 0,
        }
    }

    /// Which of our credentials the check was made with.
    pub(crate) fn authenticate(&self, message: &Message<'_>, local: &str, remote: &[u8]) -> Option<Generation> {
        if self.present.authenticate(message, local, remote) {
            return Some(Generation::Present);
        }
        let next = self.next.as_ref()?;
        next.authenticate(message, local, remote).then_some(Generation::Next)
    }

    pub(crate) fn credentials(&self, generation: Generation) -> &Credentials {
        match (generation, &self.next) {
            (Generation::Next, Some(next)) => next,
            _ => &self.present,
        }
    }

    /// Every local fragment in use.
    pub(crate) fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        [Some(&self.present), self.next.as_deref()].into_iter().flatten().map(|each| each.local_ufrag.as_str())
    }

    /// Other credentials, which count once the client nominates with them; until then the present ones do. Returns the
    /// fragment of a restart that this one replaces.
    pub(crate) fn restart(&mut self, credentials: Credentials) -> Option<String> {
        self.next.replace(Box::new(credentials)).map(|replaced| replaced.local_ufrag)
    }

    /// The client nominated with the next credentials. Returns our fragment that is over.
    pub(crate) fn promote(&mut self) -> Option<String> {
        let next = self.next.take()?;
        Some(std::mem::replace(&mut self.present, *next).local_ufrag)
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

    /// Has this check come before, from elsewhere? One that is repeated comes from where it came from.
    pub(crate) fn is_recorded(&mut self, transaction: [u8; 12], path: Path) -> bool {
        let known = self.transactions.iter().flatten().find(|(each, _)| *each == transaction);
        if let Some((_, from)) = known {
            return *from != path;
        }
        self.transactions[self.next_transaction] = Some((transaction, path));
        self.next_transaction = (self.next_transaction + 1) % TRANSACTIONS;
        false
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
        // Who moved and goes on checking without nominating again has chosen by its media.
        let follows = self.roaming.take_if(|roaming| roaming.path == path).is_some() && self.nominated.is_some();
        if nominates || follows {
            checked.first_nomination = !std::mem::replace(&mut self.reached, true);
            self.follow(path);
        } else {
            self.seen_on(path, CHECK);
        }
        checked
    }

    fn follow(&mut self, path: Path) {
        self.nominated = Some(path);
        self.roaming = None;
        self.strays = 0;
    }

    /// Something of the client came on `path`, which passed a check.
    fn seen_on(&mut self, path: Path, weight: u8) {
        if self.nominated == Some(path) || self.stray != Some(path) {
            self.strays = 0;
        }
        if self.nominated.is_some_and(|nominated| nominated != path) {
            self.stray = Some(path);
            self.strays += weight;
            if self.strays >= STRAYS {
                self.follow(path);
            }
        }
    }

    /// Authenticated media, the newest of its stream, came on `path`, which passed a check.
    pub(crate) fn heard_on(&mut self, path: Path) {
        if self.nominated == Some(path) {
            self.roaming = None;
        }
        self.seen_on(path, 1);
    }

    /// Authenticated media, the newest of its stream and `len` bytes of it, came from where no check came from.
    pub(crate) fn roamed(&mut self, path: Path, len: usize) {
        match &mut self.roaming {
            Some(roaming) if roaming.path == path => {
                roaming.credit = (roaming.credit + len as u32).min(ROAMING_CREDIT);
            }
            _ => self.roaming = Some(Roaming { path, credit: len as u32 }),
        }
    }

    /// Where to send media: the nominated path, and the latest that passed a check before there is one.
    pub(crate) fn selected(&self) -> Option<Path> {
        self.nominated.or(self.latest)
    }

    /// Where to send about `len` bytes of media now: to where the client seems to be, as long as that is no more than came
    /// from there, or else to the selected path.
    pub(crate) fn destination(&mut self, len: usize) -> Option<Path> {
        if let Some(roaming) = &mut self.roaming
            && let Some(left) = roaming.credit.checked_sub(len as u32)
        {
            roaming.credit = left;
            return Some(roaming.path);
        }
        self.selected()
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
        self.roaming.take_if(|roaming| roaming.path == path);
    }

    pub(crate) fn paths(&self) -> &[Path] {
        &self.paths
    }

    pub(crate) fn has_consent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_check) < CONSENT_TIMEOUT
    }
}
