//! One load from beginning to end: everybody joins by HTTP, talks and listens for a while, and leaves.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use swarm::{
    Clock, Devices, Identity, Join, Microphone, Progress, Random, Settings, Swarm,
    dump::Dump,
    histogram::Histogram,
    report::Report,
    talk::Pattern,
    voice::Voice,
    whip::{Resource, Signalling, Wanted},
};

use crate::options::{Options, Planned};

/// How often interruption is looked for, and how exactly joins keep their time.
const TURN: Duration = Duration::from_millis(20);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);
/// The longest that a peer takes from its answer to media, or to its failure.
const SETTLING: Duration = Duration::from_secs(45);
/// Who heard nothing for so long is deaf: longer than the longest pause between two frames of silence.
const DEAF: Duration = Duration::from_secs(3);

/// What all joining threads work on.
struct Joiner<'a> {
    options: &'a Options,
    plan: &'a [Planned],
    voice: Arc<Voice>,
    identity: Arc<Identity>,
    run: u32,
    swarm: &'a Swarm,
    signalling: Signalling,
    started: Instant,
    interrupted: &'a AtomicBool,
    next: AtomicUsize,
    joined: Mutex<Joined>,
}

/// What came of joining.
#[derive(Default)]
struct Joined {
    resources: Vec<Resource>,
    signalling: Histogram,
    refusals: Vec<String>,
    /// Peers that have a session.
    sessions: u64,
    dump: Option<Dump>,
}

/// Run the load until it is over or `interrupted`.
pub fn run(
    options: &Options,
    plan: &[Planned],
    voice: Voice,
    dump: Option<Dump>,
    interrupted: &AtomicBool,
) -> io::Result<Report> {
    let identity = Arc::new(Identity::new()?);
    let run = Random::from_entropy().number() as u32;
    let threads = usize::from(options.threads);
    let swarm = Swarm::start(&Settings { threads, identity: Arc::clone(&identity), clock: Clock::start(), run })?;
    let parallel = usize::from(options.parallel);
    let joiner = Joiner {
        options,
        plan,
        voice: Arc::new(voice),
        identity,
        run,
        swarm: &swarm,
        signalling: Signalling::new(parallel),
        started: Instant::now(),
        interrupted,
        next: AtomicUsize::new(0),
        joined: Mutex::new(Joined { dump, ..Joined::default() }),
    };
    let mut ticker =
        Ticker { enabled: !options.quiet, total: plan.len(), last: Instant::now(), before: swarm.progress() };

    thread::scope(|scope| {
        let joining: Vec<_> = (0..parallel.min(plan.len())).map(|_| scope.spawn(|| joiner.work())).collect();
        while !joining.iter().all(|thread| thread.is_finished()) {
            thread::sleep(TURN);
            ticker.tick("joining", swarm.progress(), joiner.refused());
        }
    });
    // Media of the last ones, or their failure.
    let settled = Instant::now() + SETTLING;
    loop {
        let progress = swarm.progress();
        if progress.connected + progress.failed >= joiner.sessions() || joiner.is_over() || Instant::now() > settled {
            break;
        }
        thread::sleep(TURN / 10);
        ticker.tick("joining", progress, joiner.refused());
    }
    let connected_at = Instant::now();
    let joins_took = connected_at - joiner.started;
    let end = Instant::now() + options.seconds;
    while Instant::now() < end && !joiner.is_over() {
        thread::sleep(TURN.min(end.saturating_duration_since(Instant::now())));
        ticker.tick("talking", swarm.progress(), joiner.refused());
    }
    ticker.say("leaving");
    let talked = Instant::now().saturating_duration_since(connected_at);

    swarm.prepare_to_leave();
    let Joiner { signalling, joined, .. } = joiner;
    let joined = joined.into_inner().unwrap_or_else(PoisonError::into_inner);
    let undeleted = leave(&signalling, joined.resources, parallel);
    let (outcomes, delays) = swarm.stop()?;

    let mut report =
        Report { delay: delays.voice, video_delay: delays.video, signalling: joined.signalling, ..Report::default() };
    joined.refusals.into_iter().chain(undeleted).for_each(|reason| report.fail(reason));
    let publishers = plan.iter().filter(|peer| peer.publishes).count() as u64;
    report.publishers.asked = publishers;
    report.players.asked = plan.len() as u64 - publishers;
    let sees = options.video && options.video_slots() > 0;
    let should_hear = publishers > 0 && options.talkers != Some(0) && talked >= DEAF;
    for outcome in &outcomes {
        let peer = &plan[outcome.number as usize];
        report.add(outcome, peer.publishes);
        let is_well = outcome.joined.is_some() && outcome.failure.is_none();
        let is_deaf = outcome.statistics.streams.iter().all(|stream| stream.packets == 0);
        if should_hear && !peer.publishes && is_well && is_deaf {
            report.fail("heard nothing".into());
        }
        let is_blind = outcome.statistics.videos.iter().all(|video| video.decoded() == 0);
        if should_hear && sees && !peer.publishes && is_well && is_blind {
            report.fail("saw nothing".into());
        }
    }
    report.joins_per_second =
        (report.publishers.joined + report.players.joined) as f64 / joins_took.as_secs_f64().max(f64::EPSILON);
    Ok(report)
}

impl Joiner<'_> {
    fn is_over(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Joined> {
        // Counts are whole at every unlock.
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> usize {
        self.lock().refusals.len()
    }

    fn sessions(&self) -> u64 {
        self.lock().sessions
    }

    /// Let peers join, each at its time, until there are no more.
    fn work(&self) {
        let mut random = Random::from_entropy();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(peer) = self.plan.get(number) else { return };
            let time = self.started + Duration::from_secs_f64(number as f64 / self.options.rate);
            while let Some(left) = time.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                if self.is_over() {
                    return;
                }
                thread::sleep(left.min(TURN));
            }
            if self.is_over() {
                return;
            }
            if let Err(reason) = self.join(number, peer, &mut random) {
                self.lock().refusals.push(reason);
            }
        }
    }

    fn join(&self, number: usize, peer: &Planned, random: &mut Random) -> Result<(), String> {
        let began = Instant::now();
        let stamp = (self.run, number as u32);
        let camera = self.options.camera(stamp).filter(|_| peer.publishes);
        let wanted = if peer.publishes {
            let video = camera.as_ref().map(|camera| camera.streams(random)).unwrap_or_default();
            Wanted { voice: true, video, ..Wanted::default() }
        } else {
            let (slots, video_slots) = (usize::from(self.options.slots), self.options.video_slots());
            Wanted { slots, video_slots, ..Wanted::default() }
        };
        let agreed =
            self.signalling.join(&peer.endpoint, &self.identity, wanted, random).map_err(|error| error.to_string())?;
        let dump = {
            let mut joined = self.lock();
            joined.signalling.record(began.elapsed());
            joined.sessions += 1;
            joined.resources.extend(agreed.resource);
            if peer.publishes { None } else { joined.dump.take() }
        };
        let talkers = self.options.talkers.unwrap_or(peer.members);
        let microphone = peer.publishes.then(|| Microphone {
            voice: Arc::clone(&self.voice),
            pattern: Pattern::new(peer.members, talkers, self.options.turn),
            member: peer.member,
            dtx: !self.options.no_dtx,
            stamp: (!self.options.no_stamp).then_some(stamp),
        });
        let (session, socket) = (agreed.session, agreed.socket);
        let devices = Devices { microphone, camera };
        let join = Join { number: number as u64, session, socket, devices, began, dump };
        self.swarm.add(join).map_err(|error| error.to_string())
    }
}

/// Delete all sessions; what did not go well.
fn leave(signalling: &Signalling, resources: Vec<Resource>, parallel: usize) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(HashMap::<usize, String>::new());
    thread::scope(|scope| {
        for _ in 0..parallel.min(resources.len()) {
            scope.spawn(|| {
                while let Some((at, resource)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    resources.get(at).map(|resource| (at, resource))
                } {
                    if let Err(error) = signalling.delete(resource) {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).insert(at, format!("leaving: {error}"));
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Progress on stderr, a line a second.
struct Ticker {
    enabled: bool,
    total: usize,
    last: Instant,
    before: Progress,
}

impl Ticker {
    fn tick(&mut self, what: &str, now: Progress, refused: usize) {
        let since = self.last.elapsed();
        if since < PROGRESS {
            return;
        }
        let rate = |now: u64, before: u64| (now - before) as f64 / since.as_secs_f64();
        self.say(&format!(
            "{what}: {} of {} joined, {} failed; {:.0} packets/s sent, {:.0} received",
            now.connected,
            self.total,
            now.failed + refused as u64,
            rate(now.sent, self.before.sent),
            rate(now.received, self.before.received),
        ));
        self.last = Instant::now();
        self.before = now;
    }

    fn say(&self, line: &str) {
        if self.enabled {
            // Who closed stderr does not want to read it.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}
