//! What the media thread is asked to do: by the engine's callers, and by the handshake thread.

use std::sync::mpsc::SyncSender;

use sfu::{IceCredentials, Keys, Note, Path, PeerConfig, PeerId, Placement, Rejected, Row, Wish, WorkerId};

use crate::{counters::Counters, dtls::Terms, event::Reason};

pub(crate) enum Command {
    AddPeer {
        placement: Placement,
        peer: PeerId,
        config: Box<PeerConfig>,
        /// None for a peer whose keys come by `SetKeys` alone.
        terms: Option<Box<Terms>>,
        reply: SyncSender<Result<(), Rejected>>,
    },
    RemovePeer(PeerId),
    MovePeer(PeerId, Placement),
    SetMuted(PeerId, bool),
    SetDeafened(PeerId, bool),
    /// By CSRC.
    SetIgnored(PeerId, Box<[u32]>),
    /// By CSRC; and whether without the sound of the screen.
    SetSharing(PeerId, Box<[u32]>, bool),
    Watch(PeerId, Box<[Wish]>),
    RestartIce {
        peer: PeerId,
        credentials: Box<IceCredentials>,
        reply: SyncSender<Result<(), Rejected>>,
    },
    SetKeys {
        peer: PeerId,
        keys: Box<Keys>,
    },
    /// The peer's DTLS connection ended, and the peer with it.
    Lost {
        peer: PeerId,
        reason: Reason,
    },
    /// Send a datagram to the peer, at `path` or (None) where it is now.
    SendDtls {
        peer: PeerId,
        path: Option<Path>,
        datagram: Box<[u8]>,
    },
    /// From another worker.
    Note(WorkerId, Note),
    /// Another worker has forgotten everything.
    WorkerRestarted(WorkerId),
    Counters(SyncSender<Counters>),
    Statistics(SyncSender<Vec<Row>>),
    /// To see what becomes of it.
    Panic,
    Stop,
}
