//! Which worker serves whom: rooms go where the least is going on, and large ones everywhere.

use std::collections::{HashMap, VecDeque};

use sfu::{PeerId, RoomId, WorkerId};

/// Rooms that ended not long ago, whose homes are remembered: more than end while a worker catches up with its commands.
const REMEMBERED: usize = 1024;

pub(crate) struct Placement {
    /// Peers of each worker.
    loads: Vec<usize>,
    /// A room with more peers than this is spread over all workers.
    spread_above: usize,
    rooms: HashMap<RoomId, Room>,
    peers: HashMap<PeerId, (WorkerId, RoomId)>,
    /// Rooms that had peers away from home and ended, the latest last. Their homes may not have heard yet that they are
    /// over: if one of these begins anew elsewhere, two workers believe that they decide.
    ended: VecDeque<(RoomId, WorkerId)>,
}

struct Room {
    home: WorkerId,
    peers: usize,
    /// A peer is, or was, away from home.
    is_spread: bool,
}

impl Placement {
    pub(crate) fn new(workers: usize, spread_above: usize) -> Placement {
        let (rooms, peers) = (HashMap::new(), HashMap::new());
        Placement { loads: vec![0; workers], spread_above, rooms, peers, ended: VecDeque::new() }
    }

    fn least_loaded(&self) -> WorkerId {
        let least = self.loads.iter().enumerate().min_by_key(|(_, load)| **load);
        WorkerId(least.map_or(0, |(worker, _)| worker as u8))
    }

    /// One more peer in a room. Its home, which for a new one is `home` unless it has just been elsewhere.
    fn enter(&mut self, room: RoomId, home: WorkerId) -> WorkerId {
        let former = self.ended.iter().rev().find(|(ended, _)| *ended == room).map(|(_, home)| *home);
        let room = self.rooms.entry(room).or_insert(Room { home: former.unwrap_or(home), peers: 0, is_spread: false });
        room.peers += 1;
        room.home
    }

    /// A peer of `room` has its place.
    fn sit(&mut self, peer: PeerId, worker: WorkerId, room: RoomId) {
        self.peers.insert(peer, (worker, room));
        if let Some(room) = self.rooms.get_mut(&room) {
            room.is_spread |= room.home != worker;
        }
    }

    fn leave(&mut self, room: RoomId) {
        if let Some(left) = self.rooms.get_mut(&room) {
            left.peers -= 1;
            if left.peers == 0 {
                if left.is_spread {
                    self.ended.push_back((room, left.home));
                    if self.ended.len() > REMEMBERED {
                        self.ended.pop_front();
                    }
                }
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
        let home = self.enter(room, self.least_loaded());
        let worker = if spread { self.least_loaded() } else { home };
        self.loads[usize::from(worker.0)] += 1;
        self.sit(peer, worker, room);
        Some((worker, home))
    }

    /// The peer goes to another room and stays with its worker. Returns that, and the home of the room.
    pub(crate) fn change_room(&mut self, peer: PeerId, to: RoomId) -> Option<(WorkerId, WorkerId)> {
        let (worker, from) = *self.peers.get(&peer)?;
        let home = self.enter(to, worker);
        self.leave(from);
        self.sit(peer, worker, to);
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

    /// Everybody a worker serves.
    pub(crate) fn served_by(&self, worker: WorkerId) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, at)| at.0 == worker).map(|(peer, _)| *peer).collect()
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
    fn a_room_begun_by_who_moves_is_at_home_with_it() {
        let mut placement = Placement::new(2, 10);
        place(&mut placement, 1, 1);
        place(&mut placement, 2, 1);
        assert_eq!(placement.change_room(PeerId(2), RoomId(2)), Some((WorkerId(0), WorkerId(0))));
    }

    #[test]
    fn a_spread_room_that_ended_begins_anew_at_its_home() {
        let mut placement = Placement::new(2, 2);
        for peer in 0..5 {
            place(&mut placement, peer, 1);
        }
        for peer in 0..5 {
            placement.remove(PeerId(peer));
        }
        place(&mut placement, 5, 2);
        assert_eq!(place(&mut placement, 6, 1), (0, 0), "though the other has no peers at all");
        placement.remove(PeerId(6));
        placement.ended.extend((0..REMEMBERED as u64).map(|room| (RoomId(100 + room), WorkerId(0))));
        placement.ended.drain(..placement.ended.len() - REMEMBERED);
        assert_eq!(place(&mut placement, 7, 1), (1, 1), "but only for a while");
    }

    #[test]
    fn when_all_are_gone_nothing_is_left() {
        let mut placement = Placement::new(2, 3);
        for peer in 0..20 {
            place(&mut placement, peer, peer % 3);
        }
        assert!(placement.place(PeerId(4), RoomId(9)).is_none());
        let served = placement.served_by(WorkerId(0));
        assert!(!served.is_empty() && served.iter().all(|peer| placement.worker_of(*peer) == Some(WorkerId(0))));
        for peer in 0..20 {
            placement.remove(PeerId(peer));
        }
        assert!(placement.rooms.is_empty() && placement.peers.is_empty() && placement.loads == [0, 0]);
    }
}
