//! Who talks when.

use std::time::Duration;

/// Turns of equal length, in which some members of a room talk and the others are silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    members: usize,
    talkers: usize,
    turn: Duration,
}

impl Pattern {
    /// Of `members`, numbered from 0, `talkers` talk at once, the next ones after `turn`. Zero: the first ones always.
    pub fn new(members: usize, talkers: usize, turn: Duration) -> Pattern {
        Pattern { members, talkers: talkers.min(members), turn }
    }

    /// Does that member talk then?
    pub fn talks(&self, member: usize, elapsed: Duration) -> bool {
        if self.talkers == self.members {
            return true;
        }
        let first = match self.turn.as_nanos() {
            0 => 0,
            turn => (elapsed.as_nanos() / turn * self.talkers as u128 % self.members as u128) as usize,
        };
        (member % self.members + self.members - first) % self.members < self.talkers
    }

    /// How long until the turn is over; None when it never is.
    pub fn turn_left(&self, elapsed: Duration) -> Option<Duration> {
        match self.turn.as_nanos() {
            0 => None,
            turn => Some(Duration::from_nanos((turn - elapsed.as_nanos() % turn) as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = Duration::from_secs(4);

    #[test]
    fn as_many_talk_as_should_and_everybody_gets_a_turn() {
        let pattern = Pattern::new(7, 3, TURN);
        let mut talked = [false; 7];
        for turn in 0..7 {
            let now = TURN * turn + Duration::from_millis(1);
            let talking: Vec<usize> = (0..7).filter(|member| pattern.talks(*member, now)).collect();
            assert_eq!(talking.len(), 3, "{talking:?}");
            talking.iter().for_each(|member| talked[*member] = true);
        }
        assert_eq!(talked, [true; 7]);
    }

    #[test]
    fn without_turns_the_first_ones_talk_for_ever() {
        let pattern = Pattern::new(4, 2, Duration::ZERO);
        let talking = |seconds| (0..4).filter(|member| pattern.talks(*member, Duration::from_secs(seconds))).count();
        assert_eq!((talking(0), talking(1_000_000)), (2, 2));
        assert_eq!(pattern.turn_left(TURN), None);
    }

    #[test]
    fn a_turn_ends_when_the_next_begins() {
        let pattern = Pattern::new(2, 1, TURN);
        assert_eq!(pattern.turn_left(Duration::from_secs(5)), Some(Duration::from_secs(3)));
        assert_eq!(pattern.turn_left(TURN), Some(TURN));
    }

    #[test]
    fn more_talkers_than_members_are_all_of_them() {
        let pattern = Pattern::new(2, 9, TURN);
        assert!((0..2).all(|member| pattern.talks(member, TURN)));
    }
}
