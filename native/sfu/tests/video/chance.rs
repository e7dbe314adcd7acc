//! Whatever happens in whichever order: numbers are given once and go on, nobody gets what it did not ask for, and memory is
//! bounded.

use simulation::{Conditions, Loss, Rate};

use super::theatre::{MS, SECOND, Theatre};

/// xorshift64*: the same course for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % sides
    }
}

fn play(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let workers = 1 + dice.roll(3) as usize;
    let clean = Conditions { delay: 10 * MS, ..Conditions::default() };
    let mut theatre = Theatre::new(workers);
    let mut gone = Vec::new();
    for person in 0..5 {
        let worker = person % workers;
        theatre.join_at(worker, person < 4, 3, clean.clone(), clean.clone());
    }
    for _ in 0..60 {
        let who = dice.roll(theatre.people.len() as u64) as usize;
        if gone.contains(&who) {
            continue;
        }
        match dice.roll(12) {
            0..=5 => {
                let wishes: Vec<_> = (0..dice.roll(4) as u8)
                    .map(|slot| {
                        let whose = dice.roll(theatre.people.len() as u64) as usize;
                        (slot, whose, [160, 320, 640, 1280][dice.roll(4) as usize])
                    })
                    .collect();
                theatre.watch(who, &wishes);
            }
            6 => {
                let csrc = theatre.people[who].csrc;
                let shares = dice.roll(2) == 0;
                theatre.share(who, if shares { std::slice::from_ref(&csrc) } else { &[] });
            }
            7 => {
                let rate = [200_000, 800_000, 3_000_000][dice.roll(3) as usize];
                let loss = if dice.roll(2) == 0 { Loss::Uniform(0.05) } else { Loss::Never };
                let down = Conditions { rate: Some(Rate::constant(rate)), queue: 50_000, loss, ..clean.clone() };
                let address = theatre.people[who].address;
                theatre.network.change(address, clean.clone(), down);
            }
            8 => {
                let slot = dice.roll(3) as usize;
                theatre.ask_picture(who, slot);
            }
            9 if theatre.people.len() < 9 => {
                let worker = dice.roll(workers as u64) as usize;
                theatre.join_at(worker, true, 3, clean.clone(), clean.clone());
            }
            10 if gone.len() < 3 => {
                theatre.leave(who);
                gone.push(who);
            }
            _ => {}
        }
        let pause = dice.roll(900) as u32;
        theatre.run(pause * MS);
    }
    theatre.lossless = false;
    for person in 0..theatre.people.len() {
        (0..3).for_each(|slot| drop(theatre.frames(person, slot)));
    }
    // What everybody wishes for no more is not sent any more, and its memory goes with those who sent it.
    for person in (0..theatre.people.len()).filter(|person| !gone.contains(person)) {
        theatre.watch(person, &[]);
    }
    theatre.run(2 * SECOND);
    let sent: usize = theatre.people.iter().map(|person| person.bytes.len()).sum();
    theatre.run(2 * SECOND);
    assert_eq!(sent, theatre.people.iter().map(|person| person.bytes.len()).sum::<usize>(), "seed {seed}");
    for person in (0..theatre.people.len()).filter(|person| !gone.contains(person)) {
        theatre.leave(person);
    }
    for sfu in &theatre.sfus {
        let counters = sfu.counters();
        let left = (counters.rooms, counters.peers, counters.videos, counters.video_cache);
        assert_eq!(left, (0, 0, 0, 0), "seed {seed}");
    }
}

#[test]
fn whatever_happens_numbers_go_on_and_nothing_is_left() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(8);
    for seed in 0..seeds {
        play(seed);
    }
}
