//! What arrives where, when, and in which order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use simulation::{Conditions, Hold, Loss, Network, Rate};

const MS: Duration = Duration::from_millis(1);

fn address(last: u8, port: u16) -> SocketAddr {
    ([10, 0, 0, last], port).into()
}

fn node() -> SocketAddr {
    ([203, 0, 113, 1], 3478).into()
}

/// Everything that arrives until nothing is under way: (ms since the start, from, to, first byte).
fn drain(network: &mut Network, start: Instant) -> Vec<(u128, SocketAddr, SocketAddr, u8)> {
    let mut arrived = Vec::new();
    while let Some(next) = network.next() {
        let datagrams = network.deliver(next);
        arrived.extend(
            datagrams.into_iter().map(|each| ((each.at - start).as_millis(), each.from, each.to, each.bytes[0])),
        );
    }
    arrived
}

fn rough() -> Conditions {
    Conditions {
        loss: Loss::bursts(0.05, 3.0),
        delay: 20 * MS,
        jitter: 30 * MS,
        overtakes: true,
        hold: Some(Hold { share: 0.02, time: 50 * MS }),
        duplication: 0.01,
        rate: Some(Rate::constant(500_000)),
        queue: 20_000,
    }
}

/// A thousand packets from `clients` hosts to the node and back.
fn talk(seed: u64, clients: u8, start: Instant) -> Vec<(u128, SocketAddr, SocketAddr, u8)> {
    let mut network = Network::new(start, seed);
    for client in 1..=clients {
        network.attach(address(client, 9), rough(), rough());
    }
    for n in 0..1000u32 {
        for client in 1..=clients {
            network.send(start + 5 * MS * n, address(client, 9), node(), vec![n as u8; 100]);
            network.send(start + 5 * MS * n, node(), address(client, 9), vec![n as u8; 100]);
        }
    }
    drain(&mut network, start)
}

#[test]
fn one_seed_gives_one_course_of_events_and_another_another() {
    let start = Instant::now();
    assert_eq!(talk(5, 3, start), talk(5, 3, start));
    assert_ne!(talk(5, 3, start), talk(6, 3, start));
}

#[test]
fn who_else_is_there_changes_nothing() {
    let start = Instant::now();
    let of_first = |clients| {
        let mut all = talk(5, clients, start);
        all.retain(|(_, from, to, _)| [*from, *to].contains(&address(1, 9)));
        all
    };
    assert_eq!(of_first(1), of_first(4));
    assert!(of_first(1).len() > 1800);
}

#[test]
fn a_datagram_takes_its_senders_uplink_and_its_receivers_downlink() {
    let start = Instant::now();
    let mut network = Network::new(start, 1);
    let slow = |delay| Conditions { delay: delay * MS, ..Conditions::default() };
    network.attach(address(1, 9), slow(10), slow(100));
    network.attach(address(2, 9), slow(20), slow(200));
    network.send(start, address(1, 9), address(2, 9), vec![1]);
    network.send(start, address(2, 9), address(1, 9), vec![2]);
    network.send(start, address(1, 9), node(), vec![3]);
    let arrived = drain(&mut network, start);
    assert_eq!(
        arrived,
        [
            (10, address(1, 9), node(), 3),
            (120, address(2, 9), address(1, 9), 2),
            (210, address(1, 9), address(2, 9), 1)
        ]
    );
}

#[test]
fn downlinks_queue_what_comes_from_all_sides() {
    let start = Instant::now();
    let mut network = Network::new(start, 1);
    let narrow = Conditions { rate: Some(Rate::constant(800_000)), queue: 300, ..Conditions::default() };
    network.attach(address(1, 9), Conditions::default(), narrow);
    for other in 2..=5 {
        network.send(start, address(other, 9), address(1, 9), vec![other; 100]);
    }
    let at: Vec<_> = drain(&mut network, start).into_iter().map(|(at, _, _, first)| (at, first)).collect();
    assert_eq!(at, [(1, 2), (2, 3), (3, 4)]);
    assert_eq!(network.statistics(address(1, 9)).unwrap().1.overflowed, 1);
}

#[test]
fn a_nat_shows_its_outside_and_lets_in_whom_it_has_sent_to() {
    let start = Instant::now();
    let mut network = Network::new(start, 1);
    let (inside, outside, stranger) = (address(1, 9), address(200, 4000), address(3, 3));
    network.attach(inside, Conditions::default(), Conditions::default());
    network.map(inside, outside);
    network.send(start, stranger, outside, vec![1]);
    network.send(start, node(), outside, vec![2]);
    assert_eq!(drain(&mut network, start), []);
    network.send(start, inside, node(), vec![3]);
    network.send(start, node(), outside, vec![4]);
    network.send(start, stranger, outside, vec![5]);
    network.send(start, node(), inside, vec![6]);
    assert_eq!(drain(&mut network, start), [(0, outside, node(), 3), (0, node(), inside, 4)]);
    assert_eq!(network.strayed(), 4);
}

#[test]
fn after_a_rebinding_the_old_mapping_leads_nowhere_and_the_new_one_opens_with_the_first_datagram() {
    let start = Instant::now();
    let mut network = Network::new(start, 1);
    let (inside, before, after) = (address(1, 9), address(200, 4000), address(200, 5000));
    let slow = Conditions { delay: 10 * MS, ..Conditions::default() };
    network.attach(inside, slow.clone(), slow);
    network.map(inside, before);
    network.send(start, inside, node(), vec![1]);
    network.send(start + MS, node(), before, vec![2]);
    network.map(inside, after);
    assert_eq!(network.outside(inside), after);
    network.send(start + 2 * MS, node(), before, vec![3]);
    network.send(start + 3 * MS, node(), after, vec![4]);
    assert!(network.deliver(start + 3 * MS).is_empty());
    network.send(start + 4 * MS, inside, node(), vec![5]);
    network.send(start + 5 * MS, node(), after, vec![6]);
    // What was sent through the old mapping still arrives; what came to it is lost, and what came before the first datagram out.
    let arrived = drain(&mut network, start);
    let firsts: Vec<_> = arrived.iter().map(|(_, from, _, first)| (*from, *first)).collect();
    assert_eq!(firsts, [(before, 1), (after, 5), (node(), 6)]);
}

#[test]
fn a_rate_that_falls_makes_a_queue_and_one_that_rises_again_empties_it() {
    let start = Instant::now();
    let mut network = Network::new(start, 1);
    let at = |ms| Duration::from_millis(ms);
    let rate = Rate::schedule(vec![(at(0), 800_000), (at(1000), 200_000), (at(2000), 1_600_000)]);
    let up = Conditions { rate: Some(rate), ..Conditions::default() };
    network.attach(address(1, 9), up, Conditions::default());
    // 400 kb/s: half of the first rate, twice the second.
    for n in 0..600u32 {
        network.send(start + 5 * MS * n, address(1, 9), node(), vec![(n % 256) as u8; 250]);
    }
    let mut delays = Vec::new();
    let arrived = drain(&mut network, start);
    for (n, (at, ..)) in arrived.iter().enumerate() {
        delays.push(*at as i64 - 5 * n as i64);
    }
    assert!(delays[..199].iter().all(|delay| *delay <= 3));
    let longest = delays.iter().max().unwrap();
    assert!((440..=510).contains(longest), "half a second's worth waits: {longest}");
    assert!(delays[550..].iter().all(|delay| *delay <= 2), "{:?}", &delays[550..]);
}
