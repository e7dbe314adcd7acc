//! Why datagrams are dropped. Every reason is counted; none is logged, for each can arrive a million times a second.

/// A reason to drop a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(usize)]
pub enum Drop {
    /// Ends before its own headers do.
    #[error("short")]
    Short,
    /// Breaks its protocol's format.
    #[error("header")]
    Malformed,
    /// The first byte belongs to no protocol spoken here (RFC 9443).
    #[error("unknown kind")]
    UnknownKind,
    /// A well-formed STUN message that answers or asks nothing of ours.
    #[error("unexpected")]
    Unexpected,
    /// The authentication tag or message integrity is wrong.
    #[error("auth")]
    Unauthenticated,
    /// Seen before, or too old to tell.
    #[error("replay")]
    Replay,
    /// From an address, or for a user fragment, of no peer.
    #[error("unknown peer")]
    UnknownPeer,
    /// SSRC, MID or payload type of nothing the peer announced.
    #[error("unknown source")]
    UnknownSource,
    /// More SSRCs under one key than a peer has use for.
    #[error("too many sources")]
    TooManySources,
    /// Media before the handshake was done.
    #[error("no keys")]
    NoKeys,
    /// The member is muted.
    #[error("muted")]
    Muted,
    /// Every slot belongs to somebody louder, or there is nothing to be heard.
    #[error("no slot")]
    NoSlot,
    /// More than a member may send.
    #[error("policed")]
    Policed,
    /// Silence beyond what receivers need.
    #[error("silent")]
    Silent,
    /// After what makes it useless: video of a codec that is over, or not yet begun.
    #[error("late")]
    Late,
    /// Between workers: of a room, or a voice in it, that has just ended.
    #[error("no room")]
    NoRoom,
}

impl Drop {
    /// How many reasons there are.
    pub const COUNT: usize = 16;

    /// All of them, in the order of their numbers.
    pub const ALL: [Drop; Self::COUNT] = [
        Drop::Short,
        Drop::Malformed,
        Drop::UnknownKind,
        Drop::Unexpected,
        Drop::Unauthenticated,
        Drop::Replay,
        Drop::UnknownPeer,
        Drop::UnknownSource,
        Drop::TooManySources,
        Drop::NoKeys,
        Drop::Muted,
        Drop::NoSlot,
        Drop::Policed,
        Drop::Silent,
        Drop::Late,
        Drop::NoRoom,
    ];

    /// For statistics, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Drop::Short => "short",
            Drop::Malformed => "malformed",
            Drop::UnknownKind => "unknown_kind",
            Drop::Unexpected => "unexpected",
            Drop::Unauthenticated => "unauthenticated",
            Drop::Replay => "replay",
            Drop::UnknownPeer => "unknown_peer",
            Drop::UnknownSource => "unknown_source",
            Drop::TooManySources => "too_many_sources",
            Drop::NoKeys => "no_keys",
            Drop::Muted => "muted",
            Drop::NoSlot => "no_slot",
            Drop::Policed => "policed",
            Drop::Silent => "silent",
            Drop::Late => "late",
            Drop::NoRoom => "no_room",
        }
    }
}

/// A counter for each reason.
#[derive(Clone, Debug, Default)]
pub struct Drops([u64; Drop::COUNT]);

impl Drops {
    /// One more.
    pub fn count(&mut self, drop: Drop) {
        self.0[drop as usize] += 1;
    }

    /// Those of another worker, too.
    pub fn add(&mut self, other: &Drops) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// How many so far.
    pub fn get(&self, drop: Drop) -> u64 {
        self.0[drop as usize]
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.into_iter().map(|drop| (drop, self.get(drop)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        for (place, drop) in Drop::ALL.into_iter().enumerate() {
            assert_eq!(drop as usize, place);
        }
        let names: std::collections::HashSet<_> = Drop::ALL.into_iter().map(Drop::name).collect();
        assert_eq!(names.len(), Drop::COUNT);
    }
}
