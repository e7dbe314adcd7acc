//! Which worker serves whom: rooms go where the least is going on, and large ones everywhere.

use std::collections::HashMap;

use sfu::{PeerId, RoomId, WorkerId};

pub(crate) struct Placement {
    /// Peers of each worker.
    loads: Vec<usize>,
    /// A room with more peers than this is spread over all workers.
    spread_above: usize,
    rooms: HashMap<RoomId, Room>,
    peers: HashMap<PeerId, (WorkerId, RoomId)>,
}

struct Room {
    home: WorkerId,
    peers: usize,
}

impl Placement {
    pub(crate) fn new(workers: usize, spread_above: usize) -> Placement {
        Placement { loads: vec![0; workers], spread_above, rooms: HashMap::new(), peers: HashMap::new() }
    }

    fn least_loaded(&self) -> WorkerId {
        let least = self.loads.iter().enumerate().min_by_key(|(_, load)| **load);
        WorkerId(least.map_or(0, |(worker, _)| worker as u8))
    }

    fn enter(&mut self, room: RoomId) -> WorkerId {
        let home = self.least_loaded();
        let room = self.rooms.entry(room).or_insert(Room { home, peers: 0 });
        room.peers += 1;
        room.home
    }

    fn leave(&mut self, room: RoomId) {
        if let Some(left) = self.rooms.get_mut(&room) {
            left.peers -= 1;
            if left.peers == 0 {
                self.rooms.remove(&room);
            }
        }
    }

    /// A worker for a new peer, and the home of its room. None: the peer has one.
    pub(crate) fn place(&mut self, peer: PeerId, room: RoomId) -> Option<(WorkerId, WorkerId)> {
        if self.peers.contains_key(&peer) {
            return None;
        }
        let spread = self.rooms.get(&room).is_some_and(|room| room.peers >= self.spread_above);
        let home = self.enter(room);
        let worker = if spread { self.least_loaded() } else { home };
        self.loads[usize::from(worker.0)] += 1;
        self.peers.insert(peer, (worker, room));
        Some((worker, home))
    }

    /// The peer goes to another room and stays with its worker. Returns that, and the home of the room.
    pub(crate) fn change_room(&mut self, peer: PeerId, to: RoomId) -> Option<(WorkerId, WorkerId)> {
        let (worker, from) = *self.peers.get(&peer)?;
        let home = self.enter(to);
        self.leave(from);
        self.peers.insert(peer, (worker, to));
        Some((worker, home))
    }

    pub(crate) fn worker_of(&self, peer: PeerId) -> Option<WorkerId> {
        self.peers.get(&peer).map(|(worker, _)| *worker)
    }

    /// The peer is gone. Returns who served it.
    pub(crate) fn remove(&mut self, peer: PeerId) -> Option<WorkerId> {
        let (worker, room) = self.peers.remove(&peer)?;
        self.loads[usize::from(worker.0)] -= 1;
        self.leave(room);
        Some(worker)
    }

    /// A worker lost all its peers. Returns them.
    pub(crate) fn lose(&mut self, worker: WorkerId) -> Vec<PeerId> {
        let lost: Vec<_> = self.peers.iter().filter(|(_, at)| at.0 == worker).map(|(peer, _)| *peer).collect();
        for peer in &lost {
            self.remove(*peer);
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(placement: &mut Placement, peer: u64, room: u64) -> (u8, u8) {
        let (worker, home) = placement.place(PeerId(peer), RoomId(room)).unwrap();
        (worker.0, home.0)
    }

    #[test]
    fn rooms_go_to_the_least_loaded_worker_and_small_ones_stay_whole() {
        let mut placement = Placement::new(2, 100);
        for peer in 0..10 {
            assert_eq!(place(&mut placement, peer, 1), (0, 0));
        }
        for peer in 10..15 {
            assert_eq!(place(&mut placement, peer, 2), (1, 1));
        }
        assert_eq!(place(&mut placement, 15, 3), (1, 1));
    }

    #[test]
    fn a_large_room_is_spread_and_keeps_its_home() {
        let mut placement = Placement::new(3, 10);
        for peer in 0..10 {
            assert_eq!(place(&mut placement, peer, 1), (0, 0));
        }
        let workers: Vec<_> = (10..40).map(|peer| place(&mut placement, peer, 1)).collect();
        assert!(workers.iter().all(|(_, home)| *home == 0));
        for worker in 0..3 {
            let here = workers.iter().filter(|(at, _)| *at == worker).count() + if worker == 0 { 10 } else { 0 };
            assert!((13..=14).contains(&here), "{worker}: {here}");
        }
    }

    #[test]
    fn who_moves_stays_with_its_worker() {
        let mut placement = Placement::new(2, 10);
        place(&mut placement, 1, 1);
        place(&mut placement, 2, 2);
        assert_eq!(placement.change_room(PeerId(1), RoomId(2)), Some((WorkerId(0), WorkerId(1))));
        assert!(!placement.rooms.contains_key(&RoomId(1)));
        assert_eq!(placement.remove(PeerId(2)), Some(WorkerId(1)));
        // The room's home does not change while somebody is in it.
        assert_eq!(place(&mut placement, 3, 2), (1, 1));
    }

    #[test]
    fn when_all_are_gone_nothing_is_left() {
        let mut placement = Placement::new(2, 3);
        for peer in 0..20 {
            place(&mut placement, peer, peer % 3);
        }
        assert!(placement.place(PeerId(4), RoomId(9)).is_none());
        let lost = placement.lose(WorkerId(0));
        assert!(!lost.is_empty() && lost.iter().all(|peer| placement.worker_of(*peer).is_none()));
        for peer in 0..20 {
            placement.remove(PeerId(peer));
        }
        assert!(placement.rooms.is_empty() && placement.peers.is_empty() && placement.loads == [0, 0]);
    }
}
