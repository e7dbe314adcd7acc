//! What a node does, kept.

use sfu::{Event, MAX_DATAGRAM, MAX_RELAY, Note, Output, Path, PeerId, WorkerId, WorkerSet};

/// Keeps every effect.
#[derive(Default)]
pub struct Recorder {
    pub sent: Vec<(Path, Vec<u8>)>,
    pub dtls: Vec<(PeerId, Vec<u8>)>,
    pub events: Vec<Event>,
    pub relayed: Vec<(WorkerSet, Vec<u8>)>,
    pub notes: Vec<(WorkerId, Note)>,
}

impl Output for Recorder {
    fn send(&mut self, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        let mut buf = [0xEE; MAX_DATAGRAM];
        let len = fill(&mut buf);
        if len > 0 {
            self.sent.push((to, buf[..len].to_vec()));
        }
    }

    fn dtls(&mut self, peer: PeerId, datagram: &[u8]) {
        self.dtls.push((peer, datagram.to_vec()));
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    fn relay(&mut self, to: WorkerSet, fill: impl FnOnce(&mut [u8; MAX_RELAY]) -> usize) {
        let mut buf = [0xEE; MAX_RELAY];
        let len = fill(&mut buf);
        self.relayed.push((to, buf[..len].to_vec()));
    }

    fn note(&mut self, to: WorkerId, note: Note) {
        self.notes.push((to, note));
    }
}
