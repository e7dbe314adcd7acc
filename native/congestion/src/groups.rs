//! Packets sent in one burst are one measurement (draft-ietf-rmcat-gcc-02 §5.1, §5.2).

/// Packets that leave within this belong together: a pacer's burst, a frame (§5.2), in microseconds.
const BURST: i64 = 5000;

/// A group takes in what arrives this close behind it and made up for its delay (§5.2), but is not longer than
/// [`LONGEST`], in microseconds.
const LONGEST: i64 = 100_000;

/// A jump of this much between two groups is a receiver's clock that was set, not a queue; in microseconds.
const JUMP: i64 = 10_000_000;

/// So is arriving this much before the group sent earlier, which no reordering does; in microseconds.
const BACKWARDS: i64 = 100_000;

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
}

/// How one group's way differed from that of the group before it, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variation {
    /// Between the departures of their last packets.
    pub departure: i64,
    /// Between the arrivals.
    pub arrival: i64,
    /// Of the later group.
    pub arrived: i64,
}

/// Puts packets into groups, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    previous: Option<Group>,
    current: Option<Group>,
    jumped: bool,
}

impl Groups {
    /// The receiver's clock was set since the last call: what was measured before says nothing about what comes.
    pub fn jumped(&mut self) -> bool {
        std::mem::take(&mut self.jumped)
    }

    /// A packet that was sent and arrived at these times, each in a clock of its own. Gives the variation between the two
    /// groups before, when it begins a third.
    pub fn push(&mut self, sent: i64, arrival: i64) -> Option<Variation> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::of(sent, arrival));
            return None;
        };
        if sent < current.first_sent {
            return None; // Overtaken: its group is closed.
        }
        if current.takes(sent, arrival) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrival = current.last_arrival.max(arrival);
            return None;
        }
        let (done, before) = (*current, self.previous);
        self.previous = Some(done);
        self.current = Some(Group::of(sent, arrival));
        let before = before?;
        let departure = done.last_sent - before.last_sent;
        let passed = done.last_arrival - before.last_arrival;
        if (passed - departure).abs() > JUMP || passed < -BACKWARDS {
            *self = Self { jumped: true, ..Self::default() };
            return None;
        }
        (passed >= 0).then_some(Variation { departure, arrival: passed, arrived: done.last_arrival })
    }
}

impl Group {
    fn of(sent: i64, arrival: i64) -> Self {
        Self { first_sent: sent, last_sent: sent, first_arrival: arrival, last_arrival: arrival }
    }

    fn takes(&self, sent: i64, arrival: i64) -> bool {
        if sent - self.first_sent <= BURST {
            return true;
        }
        // A queue that was held up lets go of what waited all at once.
        let gap = arrival - self.last_arrival;
        let variation = gap - (sent - self.last_sent);
        gap <= BURST && variation < 0 && arrival - self.first_arrival < LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variations(packets: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut groups = Groups::default();
        let each = packets.iter().filter_map(|(sent, arrival)| groups.push(sent * 1000, arrival * 1000));
        each.map(|variation| (variation.departure / 1000, variation.arrival / 1000)).collect()
    }

    #[test]
    fn bursts_are_one_group_and_two_groups_one_variation() {
        let packets = [(0, 100), (1, 101), (5, 106), (20, 125), (22, 126), (40, 140)];
        assert_eq!(variations(&packets), [(17, 20)]);
    }

    #[test]
    fn what_a_held_up_queue_lets_go_at_once_is_one_group() {
        let packets = [(0, 100), (20, 120), (40, 200), (60, 201), (80, 202), (100, 220), (120, 240)];
        assert_eq!(variations(&packets), [(20, 20), (60, 82), (20, 18)]);
    }

    #[test]
    fn overtaken_packets_and_clocks_that_jump_measure_nothing() {
        assert_eq!(variations(&[(0, 100), (20, 120), (10, 121), (40, 140)]), [(20, 20)]);
        assert_eq!(variations(&[(0, 100), (20, 120), (40, 20_000), (60, 20_020), (80, 20_040)]), [(20, 20)]);
    }
}
