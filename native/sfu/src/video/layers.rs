//! Sets of layers.

use std::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of layers of one encoding. There are four spatial and four temporal ones; others are in no set.
///
/// Layer (s, t) stands for all that is needed to show spatial layer `s` at the frame rate of temporal layer `t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layers(u16);

impl Layers {
    /// How many spatial layers there can be, and how many temporal ones.
    pub const SIDE: u8 = 4;
    /// No layer.
    pub const NONE: Layers = Layers(0);
    /// Every layer.
    pub const ALL: Layers = Layers(u16::MAX);

    /// Every layer.
    pub fn all() -> Self {
        Self::ALL
    }

    /// A single one; none if there is no such layer.
    pub fn one(spatial: u8, temporal: u8) -> Self {
        if spatial < Self::SIDE && temporal < Self::SIDE {
            Self(1 << (spatial * Self::SIDE + temporal))
        } else {
            Self::NONE
        }
    }

    /// Of spatial layer `spatial`, the temporal layers from `temporal` on.
    pub fn at_least(spatial: u8, temporal: u8) -> Self {
        (temporal..Self::SIDE).fold(Self::NONE, |set, each| set | Self::one(spatial, each))
    }

    /// Those that are not below `spatial` and not below `temporal`: whoever receives one of them receives, as a rule, the
    /// frames of (`spatial`, `temporal`) too.
    pub fn above(spatial: u8, temporal: u8) -> Self {
        (spatial..Self::SIDE).fold(Self::NONE, |set, each| set | Self::at_least(each, temporal))
    }

    /// Temporal layer `temporal` of every spatial layer.
    pub fn temporal(temporal: u8) -> Self {
        (0..Self::SIDE).fold(Self::NONE, |set, each| set | Self::one(each, temporal))
    }

    /// Is this one of them?
    pub fn contains(self, spatial: u8, temporal: u8) -> bool {
        self.0 & Self::one(spatial, temporal).0 != 0
    }

    /// One more; nothing happens if there is no such layer.
    pub fn insert(&mut self, spatial: u8, temporal: u8) {
        *self |= Self::one(spatial, temporal);
    }

    /// None at all.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// (spatial, temporal) of each, the lowest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = (u8, u8)> {
        (0..Self::SIDE * Self::SIDE)
            .filter(move |bit| self.0 >> bit & 1 == 1)
            .map(|bit| (bit / Self::SIDE, bit % Self::SIDE))
    }

    /// The highest spatial layer, and the highest temporal layer of that.
    pub fn highest(self) -> Option<(u8, u8)> {
        self.iter().next_back()
    }
}

impl BitOr for Layers {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Layers {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOrAssign for Layers {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl FromIterator<(u8, u8)> for Layers {
    fn from_iter<T: IntoIterator<Item = (u8, u8)>>(layers: T) -> Self {
        layers.into_iter().fold(Self::NONE, |set, (spatial, temporal)| set | Self::one(spatial, temporal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let mut set = Layers::default();
        assert!(set.is_empty() && set.highest().is_none());
        set.insert(2, 1);
        set.insert(0, 3);
        assert!(set.contains(2, 1) && set.contains(0, 3) && !set.contains(1, 2) && !set.contains(2, 0));
        assert_eq!(set.iter().collect::<Vec<_>>(), [(0, 3), (2, 1)]);
        assert_eq!(set.highest(), Some((2, 1)));
        assert_eq!(Layers::all().iter().collect::<Layers>(), Layers::ALL);
    }

    #[test]
    fn a_layer_that_cannot_be_is_in_no_set() {
        let mut set = Layers::NONE;
        set.insert(4, 0);
        set.insert(0, 4);
        set.insert(255, 255);
        assert!(set.is_empty());
        assert!(!Layers::ALL.contains(0, 4) && !Layers::ALL.contains(4, 0) && !Layers::ALL.contains(128, 64));
        assert!(Layers::at_least(0, 4).is_empty() && Layers::above(9, 0).is_empty());
    }

    #[test]
    fn sets_are_named_by_their_lowest_layer() {
        assert_eq!(Layers::at_least(1, 2), [(1, 2), (1, 3)].into_iter().collect());
        assert_eq!(Layers::above(2, 3), [(2, 3), (3, 3)].into_iter().collect());
        assert_eq!(Layers::temporal(1), [(0, 1), (1, 1), (2, 1), (3, 1)].into_iter().collect());
        assert_eq!(Layers::above(0, 0), Layers::ALL);
        assert_eq!(Layers::above(1, 0) & Layers::temporal(3), [(1, 3), (2, 3), (3, 3)].into_iter().collect());
    }
}
