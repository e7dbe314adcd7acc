//! A media flow: a source that follows the target, a pacer, an estimator; feedback from the other end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use congestion::{Arrivals, Bitrate, Estimator, Pacer};
use simulation::Random;

use super::record::Record;
use super::{Kind, MS, Port, SECOND, header};

/// Whole packets, headers included.
pub const PACKET: usize = 1200;
const FRAME: Duration = Duration::from_micros(33_333);
/// Frames vary by so much about what the target says (as encoders do: RFC 8593).
const NOISE: f64 = 0.1;

#[derive(Clone, Debug)]
pub enum Source {
    /// Every rate between these.
    Adaptive(Bitrate, Bitrate),
    /// The highest of these that fits the target, as a forwarding unit sends simulcast: (rate), lowest first.
    Layers(Vec<Bitrate>),
    /// This rate, whatever the target, but no more than it; more would be useful.
    Limited(Bitrate, Bitrate),
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub start: Duration,
    pub end: Duration,
    /// Nothing is sent between these.
    pub pause: Option<(Duration, Duration)>,
    pub source: Source,
    /// From the site instead of to it.
    pub backward: bool,
}

impl Setup {
    pub fn adaptive(most: Bitrate) -> Self {
        let source = Source::Adaptive(Bitrate::kbps(150), most);
        Self { start: Duration::ZERO, end: Duration::MAX, pause: None, source, backward: false }
    }
}

pub struct Media {
    flow: usize,
    setup: Setup,
    delay: Duration,
    random: Random,
    start: Instant,
    pub estimator: Estimator,
    pacer: Pacer,
    queue: VecDeque<usize>,
    queued: usize,
    frame: Instant,
    wake: Option<Instant>,
    sample: Instant,
    arrivals: Arrivals,
    sending: Bitrate,
}

impl Media {
    pub fn new(flow: usize, setup: Setup, delay: Duration, random: Random, start: Instant) -> Self {
        let begins = start + setup.start;
        Self {
            flow,
            setup,
            delay,
            random,
            start,
            estimator: Estimator::new(begins),
            pacer: Pacer::new(begins),
            queue: VecDeque::new(),
            queued: 0,
            frame: begins,
            wake: Some(begins),
            sample: start,
            arrivals: Arrivals::new(),
            sending: Bitrate::ZERO,
        }
    }

    fn is_on(&self, time: Duration) -> bool {
        let paused = self.setup.pause.is_some_and(|(from, to)| (from..to).contains(&time));
        (self.setup.start..self.setup.end).contains(&time) && !paused
    }

    pub fn next(&self) -> Option<Instant> {
        [Some(self.frame), self.wake, self.arrivals.due(), Some(self.sample)].into_iter().flatten().min()
    }

    /// The rate of the source, and what would be useful.
    fn rates(&self) -> (Bitrate, Bitrate) {
        let target = self.estimator.target();
        match &self.setup.source {
            Source::Adaptive(least, most) => (target.clamp(*least, *most), *most),
            Source::Layers(layers) => {
                let fits = layers.iter().rev().find(|rate| **rate <= target);
                (*fits.unwrap_or(&layers[0]), *layers.last().unwrap())
            }
            Source::Limited(rate, useful) => ((*rate).min(target), *useful),
        }
    }

    pub fn act(&mut self, port: &mut Port<'_>, record: &mut Record) {
        let now = port.now;
        if self.sample <= now {
            self.sample += 100 * MS;
            let target = if self.is_on(port.time()) { self.estimator.target() } else { Bitrate::ZERO };
            record.target(self.flow, port.time(), target);
        }
        if self.arrivals.due().is_some_and(|due| due <= now) {
            self.report(port);
        }
        if port.time() < self.setup.start {
            return;
        }
        if self.frame <= now {
            self.frame = now + FRAME;
            self.produce(port.time());
            let (_, useful) = self.rates();
            let on = self.is_on(port.time());
            self.estimator.wanted(now, if on { useful } else { Bitrate::ZERO }, self.sending);
        }
        if self.wake.is_some_and(|wake| wake <= now) || !self.queue.is_empty() {
            self.drain(port);
        }
    }

    fn produce(&mut self, time: Duration) {
        if !self.is_on(time) {
            self.sending = Bitrate::ZERO;
            return;
        }
        let (rate, _) = self.rates();
        self.sending = rate;
        // A frame is dropped rather than queued behind a third of a second.
        if self.queued > self.estimator.target().bytes_in(300 * MS) {
            return;
        }
        let noise = 1.0 + NOISE * (2.0 * self.random.unit() - 1.0);
        let mut bytes = rate.scale(noise).bytes_in(FRAME);
        self.queued += bytes;
        while bytes > 0 {
            let packet = bytes.min(PACKET);
            self.queue.push_back(packet.max(100));
            bytes -= packet;
        }
    }

    fn drain(&mut self, port: &mut Port<'_>) {
        let now = port.now;
        let mut due = self.estimator.poll(now);
        self.pacer.set_rate(self.estimator.target());
        if self.pacer.probe().is_none()
            && let Some(probe) = self.estimator.probe(now)
        {
            self.pacer.begin_probe(now, &probe);
        }
        loop {
            let probe = self.pacer.probe();
            if self.queue.is_empty() && probe.is_none() {
                break;
            }
            if !self.pacer.may_send(now) {
                due = Some(due.map_or(self.pacer.due(now), |due| due.min(self.pacer.due(now))));
                break;
            }
            // A probe without media is padding.
            let size = self.queue.pop_front().unwrap_or(PACKET);
            self.queued = self.queued.saturating_sub(size);
            let sequence = self.estimator.sent(now, size, probe);
            self.pacer.sent(size);
            let mut bytes = header(Kind::Data, self.flow, sequence.into(), port.time()).to_vec();
            bytes.resize(size, 0);
            port.send(bytes);
        }
        self.wake = due;
    }

    /// At the receiving end.
    pub fn arrived(&mut self, port: &mut Port<'_>, number: u32, sent: Duration, len: usize, record: &mut Record) {
        self.arrivals.received(port.now, number as u16, port.time() + 7 * SECOND);
        record.packet(self.flow, port.time(), (port.time() - sent).saturating_sub(self.delay), len);
        if self.arrivals.due().is_some_and(|due| due <= port.now) {
            self.report(port);
        }
    }

    fn report(&mut self, port: &mut Port<'_>) {
        let mut fci = [0; 1200];
        let len = self.arrivals.write(port.now, &mut fci);
        if len > 0 {
            // RTCP's and IP's headers.
            let mut bytes = header(Kind::Feedback, self.flow, 0, port.time()).to_vec();
            bytes.extend(&fci[..len]);
            let (from, to) = if self.setup.backward {
                (super::host(self.flow), super::site())
            } else {
                (super::site(), super::host(self.flow))
            };
            (port.from, port.to) = (from, to);
            port.send(bytes);
        }
    }

    /// At the sending end.
    pub fn feedback(&mut self, port: &mut Port<'_>, fci: &[u8]) {
        self.estimator.feedback(port.now, fci).expect("what our own receiver wrote");
        self.wake = Some(port.now);
    }
}
