//! Who sees what.

use sfu::Event;
use simulation::Conditions;

use super::theatre::{MS, SECOND, Theatre};

fn clean() -> Conditions {
    Conditions { delay: 10 * MS, ..Conditions::default() }
}

#[test]
fn a_watcher_gets_the_encoding_that_fits_what_it_draws_and_every_number_goes_on() {
    let mut theatre = Theatre::new(1);
    let ann = theatre.join(true, 0, clean());
    let bob = theatre.join(false, 2, clean());
    theatre.run(SECOND);
    assert!(theatre.frames(bob, 0).is_empty(), "nothing is sent that nobody asked for");
    for width in [320, 1280, 640, 1280, 200, 640] {
        theatre.watch(bob, &[(0, ann, width)]);
        theatre.run(6 * SECOND);
        let expected = match width {
            1280 => 2,
            640 => 1,
            _ => 0,
        };
        assert_eq!(theatre.told(bob, 0), Some((theatre.people[ann].csrc, expected, 2)), "{width}");
    }
    let pause = theatre.longest_pause(bob, 0, 2 * SECOND);
    assert!(pause < 150 * MS, "{pause:?}");
    assert!(theatre.frames(bob, 0).len() > 30 * 34, "{}", theatre.frames(bob, 0).len());
}

#[test]
fn a_slot_that_shows_another_goes_on_with_its_numbers() {
    let mut theatre = Theatre::new(1);
    let ann = theatre.join(true, 0, clean());
    let eve = theatre.join(true, 0, clean());
    let bob = theatre.join(false, 1, clean());
    for whose in [ann, eve, ann, eve] {
        theatre.watch(bob, &[(0, whose, 320)]);
        theatre.run(2 * SECOND);
        assert_eq!(theatre.told(bob, 0).map(|told| told.0), Some(theatre.people[whose].csrc));
    }
    theatre.frames(bob, 0);
    theatre.watch(bob, &[]);
    theatre.run(SECOND / 2);
    let quiet = theatre.frames(bob, 0).len();
    theatre.run(SECOND);
    assert_eq!(theatre.frames(bob, 0).len(), quiet);
    assert_eq!(theatre.told(bob, 0).map(|told| told.0), Some(0));
}

#[test]
fn what_is_not_shared_is_not_seen_and_is_seen_as_soon_as_it_is() {
    let mut theatre = Theatre::new(1);
    let ann = theatre.join(true, 0, clean());
    let bob = theatre.join(false, 1, clean());
    theatre.share(ann, &[]);
    theatre.watch(bob, &[(0, ann, 320)]);
    theatre.run(SECOND);
    assert!(theatre.frames(bob, 0).is_empty());
    let csrc = theatre.people[ann].csrc;
    theatre.share(ann, &[csrc]);
    theatre.run(SECOND);
    assert!(theatre.frames(bob, 0).len() > 20);
    theatre.leave(ann);
    theatre.run(SECOND);
    assert_eq!(theatre.told(bob, 0).map(|told| told.0), Some(0));
}

#[test]
fn layers_that_nobody_wants_are_paused_after_five_seconds_and_come_back_at_once() {
    let mut theatre = Theatre::new(1);
    let ann = theatre.join(true, 0, clean());
    let bob = theatre.join(false, 1, clean());
    theatre.watch(bob, &[(0, ann, 320)]);
    theatre.run(4 * SECOND);
    assert!(theatre.people[ann].encoders.iter().all(|encoder| encoder.active));
    theatre.run(3 * SECOND);
    let active: Vec<_> = theatre.people[ann].encoders.iter().map(|encoder| encoder.active).collect();
    assert_eq!(active, [true, false, false]);
    theatre.watch(bob, &[(0, ann, 1280)]);
    theatre.run(700 * MS);
    assert!(theatre.people[ann].encoders[2].active);
    theatre.run(5 * SECOND);
    assert_eq!(theatre.told(bob, 0).map(|told| told.1), Some(2));
    theatre.watch(bob, &[]);
    theatre.run(7 * SECOND);
    let active: Vec<_> = theatre.people[ann].encoders.iter().map(|encoder| encoder.active).collect();
    assert_eq!(active, [true, false, false], "the lowest stays");
    let pause = theatre.longest_pause(bob, 0, SECOND);
    assert!(pause > SECOND, "{pause:?}");
    assert!(theatre.events.iter().any(|(_, event)| matches!(event, Event::Encodings { wanted: 1, .. })));
}

#[test]
fn many_who_cannot_decode_cost_one_key_frame() {
    let mut theatre = Theatre::new(1);
    let ann = theatre.join(true, 0, clean());
    let watchers: Vec<_> = (0..10).map(|_| theatre.join(false, 1, clean())).collect();
    for watcher in &watchers {
        theatre.watch(*watcher, &[(0, ann, 320)]);
    }
    theatre.run(3 * SECOND);
    let before = theatre.people[ann].encoders[0].keys;
    for _ in 0..5 {
        watchers.iter().for_each(|watcher| theatre.ask_picture(*watcher, 0));
        theatre.run(20 * MS);
    }
    theatre.run(SECOND);
    let keys = theatre.people[ann].encoders[0].keys - before;
    assert_eq!(keys, 1);
    for watcher in watchers {
        theatre.frames(watcher, 0);
    }
}

#[test]
fn a_publisher_is_told_how_its_packets_come() {
    let mut theatre = Theatre::new(1);
    let ann = theatre.join(true, 0, clean());
    theatre.run(2 * SECOND);
    let told = theatre.people[ann].feedback_seen;
    assert!((15..=45).contains(&told), "{told}");
}

#[test]
fn a_room_on_several_workers_is_one_room() {
    let mut theatre = Theatre::new(3);
    let at_home = theatre.join(true, 1, clean());
    let elsewhere = theatre.join_at(1, true, 2, clean(), clean());
    let third = theatre.join_at(2, false, 2, clean(), clean());
    theatre.watch(at_home, &[(0, elsewhere, 640)]);
    theatre.watch(elsewhere, &[(0, at_home, 1280)]);
    theatre.watch(third, &[(0, at_home, 320), (1, elsewhere, 1280)]);
    theatre.run(8 * SECOND);
    for (who, slot, whose, encoding) in
        [(at_home, 0, elsewhere, 1), (elsewhere, 0, at_home, 2), (third, 0, at_home, 0), (third, 1, elsewhere, 2)]
    {
        assert_eq!(theatre.told(who, slot), Some((theatre.people[whose].csrc, encoding, 2)), "{who} {slot}");
        let pause = theatre.longest_pause(who, slot, 2 * SECOND);
        assert!(pause < 150 * MS, "{who} {slot}: {pause:?}");
    }
    theatre.watch(third, &[]);
    theatre.watch(at_home, &[]);
    theatre.run(7 * SECOND);
    let active: Vec<_> = theatre.people[elsewhere].encoders.iter().map(|encoder| encoder.active).collect();
    assert_eq!(active, [true, false, false], "nobody wants it anywhere");
    let csrc = theatre.people[at_home].csrc;
    theatre.share(at_home, &[]);
    theatre.run(SECOND);
    assert_eq!(theatre.told(elsewhere, 0).map(|told| told.0), Some(0));
    theatre.share(at_home, &[csrc]);
    theatre.run(SECOND);
    assert_eq!(theatre.told(elsewhere, 0).map(|told| told.0), Some(csrc));
    theatre.leave(at_home);
    theatre.run(SECOND);
    assert_eq!(theatre.told(elsewhere, 0).map(|told| told.0), Some(0));
}

#[test]
fn a_picture_that_stands_still_stays() {
    let mut theatre = Theatre::new(1);
    let ann = theatre.join(true, 0, clean());
    let bob = theatre.join(false, 1, clean());
    theatre.watch(bob, &[(0, ann, 640)]);
    theatre.run(3 * SECOND);
    let shows = theatre.told(bob, 0);
    theatre.people[ann].next_frame = theatre.now + 20 * SECOND;
    theatre.run(19 * SECOND);
    assert_eq!(theatre.told(bob, 0).map(|told| (told.0, told.1)), shows.map(|shows| (shows.0, shows.1)));
    let before = theatre.frames(bob, 0).len();
    theatre.run(3 * SECOND);
    assert!(theatre.frames(bob, 0).len() > before + 30);
}
