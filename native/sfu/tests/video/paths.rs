//! Paths that lose, and that become narrow.

use simulation::{Conditions, Loss, Rate};

use super::theatre::{MS, SECOND, Theatre};

fn clean() -> Conditions {
    Conditions { delay: 10 * MS, ..Conditions::default() }
}

#[test]
fn what_the_network_loses_on_either_side_is_repaired() {
    let mut theatre = Theatre::new(1);
    let lossy = Conditions { delay: 15 * MS, loss: Loss::Uniform(0.03), ..Conditions::default() };
    let ann = theatre.join_at(0, true, 0, lossy.clone(), clean());
    let bob = theatre.join(false, 1, lossy);
    theatre.watch(bob, &[(0, ann, 640)]);
    theatre.run(20 * SECOND);
    theatre.lossless = false;
    let seen = &theatre.people[bob].seen[&0];
    let (first, last) = (*seen.keys().next().unwrap(), *seen.keys().next_back().unwrap());
    let missing = (first..last.saturating_sub(50)).filter(|index| !seen.contains_key(index)).count();
    assert!(missing * 500 < seen.len(), "{missing} of {}", seen.len());
    assert!(seen.values().any(|packet| packet.repaired));
}

#[test]
fn a_path_that_narrows_is_given_less_and_more_when_it_opens_and_the_picture_never_stands_still() {
    let mut theatre = Theatre::new(1);
    let ann = theatre.join(true, 0, clean());
    let wide =
        Conditions { delay: 10 * MS, rate: Some(Rate::constant(5_000_000)), queue: 60_000, ..Conditions::default() };
    let narrow = Conditions { rate: Some(Rate::constant(300_000)), queue: 400_000, ..wide.clone() };
    let bob = theatre.join(false, 1, wide.clone());
    let eve = theatre.join(false, 1, clean());
    theatre.watch(bob, &[(0, ann, 1280)]);
    theatre.watch(eve, &[(0, ann, 1280)]);
    theatre.run(12 * SECOND);
    assert_eq!(theatre.told(bob, 0).map(|told| told.1), Some(2), "what is wide is used");
    let squeezed = theatre.at();
    let address = theatre.people[bob].address;
    theatre.network.change(address, clean(), narrow);
    theatre.run(15 * SECOND);
    theatre.lossless = false;
    assert_eq!(theatre.told(bob, 0).map(|told| told.1), Some(0), "{:?}", theatre.told(bob, 0));
    let rate = theatre.rate(bob, squeezed + 5 * SECOND);
    assert!((100_000..300_000).contains(&rate), "{rate}");
    let opened = theatre.at();
    theatre.network.change(address, clean(), wide);
    theatre.run(15 * SECOND);
    assert_eq!(theatre.told(bob, 0).map(|told| told.1), Some(2), "{:?}", theatre.told(bob, 0));
    let pause = theatre.longest_pause(bob, 0, SECOND);
    assert!(pause < 500 * MS, "{pause:?}, squeezed at {squeezed:?}, opened at {opened:?}");
    theatre.lossless = true;
    let other = theatre.longest_pause(eve, 0, SECOND);
    assert!(other < 100 * MS, "another does not notice: {other:?}");
}
