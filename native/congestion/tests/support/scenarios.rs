//! RFC 8867's test cases, and paths that real-time media meets beside them.
//!
//! Where not said otherwise as in the RFC: one-way propagation delay 50 ms, drop-tail queue of 300 ms at the reference capacity.
//! Sources follow their target at 30 frames a second up to 3 Mb/s, so that the capacity is always what limits.

use std::time::Duration;

use congestion::Bitrate;
use simulation::{Conditions, Loss, Rate};

use super::media::{Setup, Source};
use super::record::Record;
use super::tcp::{Algorithm, Transfer};
use super::{MS, SECOND, World, bottleneck};

const DELAY: Duration = Duration::from_millis(50);
const QUEUE: Duration = Duration::from_millis(300);
const MOST: Bitrate = Bitrate::kbps(3000);

/// A name for people, one for files, the flow whose use of the capacity counts (all that go forward: None), and how to run it.
pub type Scenario = (&'static str, &'static str, Option<usize>, fn() -> Outcome);

/// All of them, at their full length.
pub const SCENARIOS: &[Scenario] = &[
    ("5.1 variable capacity", "variable", None, variable_capacity_single_flow),
    ("5.1 with jitter up to 30 ms", "jitter", None, variable_capacity_with_jitter),
    ("5.2 variable capacity, 2 flows", "variable-two", None, variable_capacity_two_flows),
    ("5.3 congested feedback", "feedback", Some(0), congested_feedback),
    ("5.4 3 competing media flows", "competing", None, competing_media),
    ("5.5 round-trip time fairness, 5 flows", "fairness", None, || round_trip_fairness(300)),
    ("5.6 long TCP (CUBIC), queue 300 ms", "cubic", Some(0), || long_tcp(QUEUE, Algorithm::Cubic)),
    ("5.6 long TCP (Reno), queue 300 ms", "reno", Some(0), || long_tcp(QUEUE, Algorithm::Reno)),
    ("5.6 long TCP (CUBIC), queue 1 s", "cubic-long", Some(0), || long_tcp(SECOND, Algorithm::Cubic)),
    ("5.7 10 short TCP flows, 2 media", "short", None, || short_tcp(300)),
    ("5.8 pause and resume", "pause", None, pause_and_resume),
    ("bufferbloat: queue 1 s", "bufferbloat", None, bufferbloat),
    ("loss 2 %", "loss-2", None, || random_loss(Loss::Uniform(0.02))),
    ("loss 5 %", "loss-5", None, || random_loss(Loss::Uniform(0.05))),
    ("loss 10 %", "loss-10", None, || random_loss(Loss::Uniform(0.10))),
    ("loss 5 % in bursts of 5", "loss-bursts", None, || random_loss(Loss::bursts(0.05, 5.0))),
    ("simulcast layers", "layers", None, layers),
    ("application-limited", "limited", None, application_limited),
    ("outage of 4 s", "outage", None, outage),
    ("start on 2.5 Mb/s", "start-2500", None, || start(2500, 30)),
    ("start on 10 Mb/s", "start-10000", None, || start(10_000, 30)),
];

/// A run, and what the forward bottleneck carried when: (seconds, kb/s).
pub struct Outcome {
    pub record: Record,
    pub capacity: Vec<(u64, u64)>,
    pub seconds: u64,
}

impl Outcome {
    /// In bits, between two times in seconds.
    fn capacity(&self, from: u64, to: u64) -> f64 {
        let seconds = from..to;
        let rate = |second| self.capacity.iter().rev().find(|(at, _)| *at <= second).map_or(0, |(_, kbps)| *kbps);
        seconds.map(|second| rate(second) as f64 * 1000.0).sum()
    }

    /// Share of the forward capacity that all flows, or one, used.
    pub fn utilisation(&self, flow: Option<usize>, from: u64, to: u64) -> f64 {
        self.record.rate(flow, from, to).0 as f64 * (to - from) as f64 / self.capacity(from, to)
    }

    /// After each change of the capacity: its time, and how long until three quarters of it are used where it grew (with TCP
    /// and backward flows counted), or no packet waits for more than 100 ms where it fell. None: not before the next change.
    pub fn recoveries(&self, flow: Option<usize>) -> Vec<(u64, Option<Duration>)> {
        let changes = self.capacity.windows(2).map(|pair| (pair[0].1, pair[1]));
        let recovered = changes.map(|(before, (at, kbps))| {
            let recovered = if kbps > before {
                self.record.reaches(flow, Bitrate::kbps(kbps).scale(0.75), at)
            } else {
                self.record.calms(100 * MS, at)
            };
            let next = self.capacity.iter().map(|(at, _)| *at).find(|next| *next > at).unwrap_or(self.seconds);
            (at, recovered.filter(|recovered| *recovered <= Duration::from_secs(next - at)))
        });
        recovered.collect()
    }

    pub fn p95(&self, from: u64, to: u64) -> Duration {
        self.record.waited(None, 0.95, from, to)
    }
}

fn run(mut world: World, capacity: &[(u64, u64)], seconds: u64) -> Outcome {
    world.run(Duration::from_secs(seconds));
    Outcome { record: world.record, capacity: capacity.to_vec(), seconds }
}

fn wire() -> Conditions {
    Conditions::default()
}

/// §5.1. Reference 1 Mb/s.
pub fn variable_capacity_single_flow() -> Outcome {
    let capacity = [(0, 1000), (40, 2500), (60, 600), (80, 1000)];
    let mut world = World::new(51, bottleneck(&capacity, 1000, QUEUE), wire());
    world.media(DELAY, Setup::adaptive(MOST));
    run(world, &capacity, 100)
}

/// §5.1 with jitter before the bottleneck that keeps the order, uniform up to 30 ms.
pub fn variable_capacity_with_jitter() -> Outcome {
    let capacity = [(0, 1000), (40, 2500), (60, 600), (80, 1000)];
    let mut world = World::new(511, bottleneck(&capacity, 1000, QUEUE), wire());
    world.jittery(DELAY, 30 * MS, Setup::adaptive(MOST));
    run(world, &capacity, 100)
}

/// §5.2. Reference 2 Mb/s, two flows.
pub fn variable_capacity_two_flows() -> Outcome {
    let capacity = [(0, 4000), (25, 2000), (50, 3500), (75, 1000), (100, 2000)];
    let mut world = World::new(52, bottleneck(&capacity, 2000, QUEUE), wire());
    world.media(DELAY, Setup::adaptive(MOST));
    world.media(DELAY, Setup::adaptive(MOST));
    run(world, &capacity, 125)
}

/// §5.3. Flow 0 forward, flow 1 backward, so that each one's feedback shares the other's bottleneck.
pub fn congested_feedback() -> Outcome {
    let forward = [(0, 2000), (20, 1000), (40, 500), (60, 2000)];
    let backward = [(0, 2000), (35, 800), (70, 2000)];
    let mut world = World::new(53, bottleneck(&forward, 1000, QUEUE), bottleneck(&backward, 1000, QUEUE));
    world.media(DELAY, Setup::adaptive(MOST));
    world.media(DELAY, Setup { backward: true, ..Setup::adaptive(MOST) });
    run(world, &forward, 100)
}

/// §5.4. 3.5 Mb/s, three flows that begin 20 s apart.
pub fn competing_media() -> Outcome {
    let capacity = [(0, 3500)];
    let mut world = World::new(54, bottleneck(&capacity, 3500, QUEUE), wire());
    for start in [0, 20, 40] {
        world.media(DELAY, Setup { start: start * SECOND, ..Setup::adaptive(MOST) });
    }
    run(world, &capacity, 120)
}

/// §5.5. 4 Mb/s, five flows with delays of their own that begin 10 s apart.
pub fn round_trip_fairness(seconds: u64) -> Outcome {
    let capacity = [(0, 4000)];
    let mut world = World::new(55, bottleneck(&capacity, 4000, QUEUE), wire());
    for (delay, start) in [10, 25, 50, 100, 150].into_iter().zip(0..) {
        world.media(delay * MS, Setup { start: 10 * start * SECOND, ..Setup::adaptive(MOST) });
    }
    run(world, &capacity, seconds)
}

/// §5.6. 2 Mb/s; flow 1 is a TCP flow from the beginning, media begins 5 s later.
pub fn long_tcp(queue: Duration, algorithm: Algorithm) -> Outcome {
    let capacity = [(0, 2000)];
    let mut world = World::new(56, bottleneck(&capacity, 2000, queue), wire());
    world.media(DELAY, Setup { start: 5 * SECOND, ..Setup::adaptive(MOST) });
    let (start, end) = (Duration::ZERO, 119 * SECOND);
    world.tcp(DELAY, Transfer { start, end, bytes: usize::MAX / 2, algorithm });
    run(world, &capacity, 120)
}

/// §5.7. 2 Mb/s, two media flows, and ten transfers of 100 to 1000 kB at times of their own.
pub fn short_tcp(seconds: u64) -> Outcome {
    let capacity = [(0, 2000)];
    let mut world = World::new(57, bottleneck(&capacity, 2000, QUEUE), wire());
    world.media(DELAY, Setup { start: 5 * SECOND, ..Setup::adaptive(MOST) });
    world.media(DELAY, Setup { start: 5 * SECOND, ..Setup::adaptive(MOST) });
    let mut random = simulation::Random::new(57);
    for n in 0..10 {
        let start = Duration::from_secs(10 + 27 * n) + random.below(10_000) as u32 * MS;
        let bytes = 100_000 + random.below(900_000) as usize;
        let transfer = Transfer { start, end: Duration::MAX, bytes, algorithm: Algorithm::Cubic };
        world.tcp(DELAY, transfer);
    }
    run(world, &capacity, seconds)
}

/// §5.8. 3.5 Mb/s, three flows, of which the first pauses from 40 s to 60 s.
pub fn pause_and_resume() -> Outcome {
    let capacity = [(0, 3500)];
    let mut world = World::new(58, bottleneck(&capacity, 3500, QUEUE), wire());
    for flow in 0..3 {
        let pause = (flow == 0).then_some((40 * SECOND, 60 * SECOND));
        world.media(DELAY, Setup { pause, ..Setup::adaptive(MOST) });
    }
    run(world, &capacity, 120)
}

/// A drop from 2.5 Mb/s to 500 kb/s and back, before a queue that holds a second.
pub fn bufferbloat() -> Outcome {
    let capacity = [(0, 2500), (30, 500), (60, 2500)];
    let mut world = World::new(1, bottleneck(&capacity, 2500, SECOND), wire());
    world.media(DELAY, Setup::adaptive(MOST));
    run(world, &capacity, 90)
}

/// 2 Mb/s with loss that has nothing to do with the rate.
pub fn random_loss(loss: Loss) -> Outcome {
    let capacity = [(0, 2000)];
    let forward = Conditions { loss, ..bottleneck(&capacity, 2000, QUEUE) };
    let mut world = World::new(2, forward, wire());
    world.media(DELAY, Setup::adaptive(MOST));
    run(world, &capacity, 60)
}

/// Simulcast: layers of 150, 500 and 2000 kb/s over 3 Mb/s, which falls to 800 kb/s and rises again.
pub fn layers() -> Outcome {
    let capacity = [(0, 3000), (30, 800), (50, 3000)];
    let mut world = World::new(3, bottleneck(&capacity, 3000, QUEUE), wire());
    let layers = [150, 500, 2000].map(Bitrate::kbps).to_vec();
    world.media(DELAY, Setup { source: Source::Layers(layers), ..Setup::adaptive(MOST) });
    run(world, &capacity, 80)
}

/// The application sends 200 kb/s for a minute while 2 Mb/s would be useful and 3 Mb/s are there.
pub fn application_limited() -> Outcome {
    let capacity = [(0, 3000)];
    let mut world = World::new(4, bottleneck(&capacity, 3000, QUEUE), wire());
    let source = Source::Limited(Bitrate::kbps(200), Bitrate::kbps(2000));
    world.media(DELAY, Setup { source, ..Setup::adaptive(MOST) });
    run(world, &capacity, 60)
}

/// Nothing passes for 4 s, either way.
pub fn outage() -> Outcome {
    let capacity = [(0, 2000), (20, 0), (24, 2000)];
    let steps = capacity.map(|(at, kbps)| (Duration::from_secs(at), kbps * 1000)).to_vec();
    let backward = Conditions { rate: Some(Rate::schedule(steps)), queue: 2000, ..Conditions::default() };
    let mut world = World::new(5, bottleneck(&capacity, 2000, QUEUE), backward);
    world.media(DELAY, Setup::adaptive(MOST));
    run(world, &capacity, 50)
}

/// From the start, alone on a link with this capacity.
pub fn start(kbps: u64, seconds: u64) -> Outcome {
    let capacity = [(0, kbps)];
    let mut world = World::new(6, bottleneck(&capacity, kbps, QUEUE), wire());
    world.media(DELAY, Setup::adaptive(Bitrate::kbps(2 * kbps)));
    run(world, &capacity, seconds)
}
