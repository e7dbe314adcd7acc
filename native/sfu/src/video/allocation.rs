//! How a receiver's bandwidth is shared out over its slots: by priority, everybody a little before anybody more, frame rate
//! given up before size, and what was given up taken back only with a margin.

use super::switch::Level;
use super::track::Offer;

/// The most video slots of one receiver.
pub const MAX_VIDEO_SLOTS: usize = 16;
/// To go up needs this much more than what the better costs, in hundredths: estimates breathe by as much.
const MARGIN: u64 = 115;
/// What was too much is tried again at once where there is this much, in hundredths.
const PLENTY: u64 = 160;
/// A picture a little narrower than drawn is as good, in hundredths.
const WIDE_ENOUGH: u32 = 85;

/// What a slot could be given.
#[derive(Clone, Copy)]
pub(crate) struct Demand<'a> {
    /// From the least on.
    pub(crate) offers: &'a [Offer],
    /// Pixels that are drawn.
    pub(crate) width: u16,
    pub(crate) priority: u8,
    /// A screen: its sharpness matters more than its frame rate.
    pub(crate) screen: bool,
    pub(crate) current: Option<Level>,
    /// From this on it was too much a moment ago.
    pub(crate) below: Option<Level>,
}

/// What a slot gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) level: Option<Level>,
    pub(crate) rate: u64,
    /// What it would get with bandwidth without end.
    pub(crate) best: Option<Level>,
    pub(crate) best_rate: u64,
    /// There is nothing wide enough for what is drawn.
    pub(crate) narrow: bool,
}

impl Demand<'_> {
    /// The narrowest picture that is wide enough, as (encoding, spatial layer), and whether it is.
    fn ceiling(&self) -> Option<((u8, u8), bool)> {
        let wide = |offer: &&Offer| u32::from(offer.width) * 100 >= u32::from(self.width) * WIDE_ENOUGH;
        let picture = |offer: &Offer| (offer.level.encoding, offer.level.spatial);
        match self.offers.iter().find(wide) {
            Some(offer) => Some((picture(offer), true)),
            None => self.offers.last().map(|offer| (picture(offer), false)),
        }
    }

    /// Was it too much a moment ago, and is not far less than what there is now?
    fn daunts(&self, offer: &Offer, budget: u64) -> bool {
        self.below.is_some_and(|below| offer.level >= below) && offer.rate * PLENTY / 100 > budget
    }

    /// What it may be given, from the least on.
    fn candidates(&self) -> impl Iterator<Item = &Offer> {
        let ceiling = self.ceiling().map(|(picture, _)| picture);
        let least = self.offers.first().map(|offer| (offer.level.encoding, offer.level.spatial));
        self.offers.iter().filter(move |offer| {
            let picture = (offer.level.encoding, offer.level.spatial);
            let of_it = self.offers.iter().filter(|other| (other.level.encoding, other.level.spatial) == picture);
            let smoothest = of_it.map(|other| other.level.temporal).max().unwrap_or(0);
            // A face at a quarter of its frames is worse than a smaller one that moves.
            let smooth = self.screen || Some(picture) == least || offer.level.temporal + 1 >= smoothest;
            ceiling.is_some_and(|ceiling| picture <= ceiling) && smooth
        })
    }
}

/// Share `budget` bits a second out. `demands`: by slot; None: no wish.
pub(crate) fn allocate(budget: u64, demands: &[Option<Demand<'_>>]) -> [Share; MAX_VIDEO_SLOTS] {
    let mut shares = [Share::default(); MAX_VIDEO_SLOTS];
    let mut order: [usize; MAX_VIDEO_SLOTS] = std::array::from_fn(|slot| slot);
    let priority = |slot: usize| demands.get(slot).copied().flatten().map(|demand| demand.priority);
    order.sort_by_key(|slot| std::cmp::Reverse(priority(*slot)));
    let mut left = budget;
    let served = order.into_iter().filter_map(|slot| Some((slot, demands.get(slot).copied().flatten()?)));
    for (rank, (slot, demand)) in served.clone().enumerate() {
        let share = &mut shares[slot];
        share.narrow = demand.ceiling().is_none_or(|(_, wide)| !wide);
        if let Some(best) = demand.candidates().last() {
            (share.best, share.best_rate) = (Some(best.level), best.rate);
        }
        if let Some(least) = demand.candidates().next()
            && (rank == 0 || least.rate <= left)
        {
            (share.level, share.rate) = (Some(least.level), least.rate);
            left = left.saturating_sub(least.rate);
        }
    }
    // Equals go up step by step and in turn; whoever comes before takes all it can use.
    let mut group = served.clone().peekable();
    while let Some(&(_, first)) = group.peek() {
        let equals = group.clone().take_while(|(_, demand)| demand.priority == first.priority);
        let mut rises = true;
        while std::mem::take(&mut rises) {
            for (slot, demand) in equals.clone() {
                let share = &mut shares[slot];
                let Some(level) = share.level else { continue };
                let fits = |offer: &&Offer| {
                    let more = offer.rate.saturating_sub(share.rate);
                    let is_new = demand.current.is_none_or(|current| offer.level > current);
                    let needed =
                        if is_new { more.max(offer.rate * MARGIN / 100 - offer.rate.min(share.rate)) } else { more };
                    needed <= left && !demand.daunts(offer, left + share.rate)
                };
                if let Some(next) = demand.candidates().filter(|offer| offer.level > level).find(fits) {
                    left = left.saturating_sub(next.rate.saturating_sub(share.rate));
                    (share.level, share.rate) = (Some(next.level), next.rate);
                    rises = true;
                }
            }
        }
        let len = equals.count();
        group.by_ref().take(len).for_each(drop);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three encodings of three temporal layers: 150k, 500k, 1.7M.
    fn offers() -> Vec<Offer> {
        let mut offers = Vec::new();
        for (encoding, whole, width) in [(0, 150_000u64, 320), (1, 500_000, 640), (2, 1_700_000, 1280)] {
            for (temporal, percent) in [(0, 40), (1, 60), (2, 100)] {
                let level = Level { encoding, spatial: 0, temporal };
                offers.push(Offer { level, rate: whole * percent / 100, width });
            }
        }
        offers
    }

    fn level(encoding: u8, temporal: u8) -> Option<Level> {
        Some(Level { encoding, spatial: 0, temporal })
    }

    fn demand(offers: &[Offer], width: u16, priority: u8, current: Option<Level>) -> Option<Demand<'_>> {
        Some(Demand { offers, width, priority, screen: false, current, below: None })
    }

    #[test]
    fn nobody_gets_a_larger_picture_than_it_draws() {
        let offers = offers();
        for (width, encoding) in [(160, 0), (320, 0), (370, 0), (400, 1), (640, 1), (1280, 2), (4000, 2)] {
            let shares = allocate(10_000_000, &[demand(&offers, width, 0, None)]);
            assert_eq!(shares[0].level, level(encoding, 2), "{width}");
            assert_eq!(shares[0].narrow, width == 4000);
        }
    }

    #[test]
    fn as_bandwidth_goes_down_frames_go_first_then_size() {
        let offers = offers();
        let mut current = level(2, 2);
        let mut seen = vec![current];
        for budget in (0..=2_000_000).rev().step_by(5_000) {
            current = allocate(budget, &[demand(&offers, 1280, 0, current)])[0].level;
            if seen.last() != Some(&current) {
                seen.push(current);
            }
        }
        let levels = [(2, 2), (2, 1), (1, 2), (1, 1), (0, 2), (0, 1), (0, 0)];
        assert_eq!(seen, levels.map(|(encoding, temporal)| level(encoding, temporal)));
    }

    #[test]
    fn what_was_given_up_comes_back_with_a_margin_only() {
        let offers = offers();
        let give = |budget, current| allocate(budget, &[demand(&offers, 640, 0, current)])[0].level;
        assert_eq!(give(500_000, level(1, 2)), level(1, 2));
        assert_eq!(give(560_000, level(1, 1)), level(1, 1));
        assert_eq!(give(580_000, level(1, 1)), level(1, 2));
    }

    #[test]
    fn everybody_gets_a_little_before_anybody_gets_more_and_the_first_gets_most() {
        let offers = offers();
        let demands: Vec<_> = (0..3).map(|slot| demand(&offers, 1280, slot, None)).collect();
        let shares = allocate(1_000_000, &demands);
        let levels: Vec<_> = shares[..3].iter().map(|share| share.level).collect();
        assert!(levels.iter().all(Option::is_some));
        assert!(levels[2] > levels[1] && levels[1] >= levels[0], "{levels:?}");
        let shares = allocate(100_000, &demands);
        assert_eq!(shares.map(|share| share.level.is_some())[..3], [false, false, true]);
    }

    #[test]
    fn what_was_too_much_a_moment_ago_is_given_only_where_there_is_plenty() {
        let offers = offers();
        let daunted = |budget| {
            let demand = Demand { below: level(1, 0), ..demand(&offers, 640, 0, level(0, 2)).unwrap() };
            allocate(budget, &[Some(demand)])[0].level
        };
        assert_eq!((daunted(400_000), daunted(850_000)), (level(0, 2), level(1, 2)));
    }

    #[test]
    fn equals_get_the_same() {
        let offers = offers();
        let demands: Vec<_> = (0..4).map(|_| demand(&offers, 1280, 7, None)).collect();
        let shares = allocate(2_400_000, &demands);
        assert!(shares[..4].iter().all(|share| share.level == level(1, 2)), "{:?}", &shares[..4]);
    }

    proptest::proptest! {
        #[test]
        fn never_more_is_given_than_there_is(
            budget in 0u64..5_000_000,
            wishes in proptest::collection::vec((1u16..2000, 0u8..3, 0u8..3, 0u8..3), 0..MAX_VIDEO_SLOTS),
        ) {
            let offers = offers();
            let demands: Vec<_> =
                wishes.iter().map(|&(width, priority, e, t)| demand(&offers, width, priority, level(e, t))).collect();
            let shares = allocate(budget, &demands);
            let given = shares.iter().filter(|share| share.level.is_some()).count();
            let sum: u64 = shares.iter().map(|share| share.rate).sum();
            proptest::prop_assert!(sum <= budget || given == 1);
            proptest::prop_assert_eq!(shares.iter().skip(demands.len()).filter(|share| share.level.is_some()).count(), 0);
        }
    }
}
