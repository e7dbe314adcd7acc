//! A bulk transfer with TCP's congestion control: slow start, then CUBIC (RFC 9438) or Reno (RFC 5681), with loss found by
//! packet numbers (as RFC 9002 does), since nothing here depends on how TCP finds it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::record::Record;
use super::{Kind, MS, Port, SECOND, header};

const SEGMENT: usize = 1500;
const INITIAL: f64 = 10.0;
/// A segment is lost when one sent this many later has arrived.
const REORDERING: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Reno,
    Cubic,
}

#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    pub start: Duration,
    pub end: Duration,
    pub bytes: usize,
    pub algorithm: Algorithm,
}

pub struct Tcp {
    flow: usize,
    transfer: Transfer,
    delay: Duration,
    start: Instant,
    number: u32,
    /// When each left.
    flight: BTreeMap<u32, Instant>,
    left: usize,
    window: f64,
    threshold: f64,
    /// Losses of what left before do not count again.
    recovered: u32,
    best: f64,
    epoch: Option<Instant>,
    rtt: Option<Duration>,
    heard: Instant,
}

impl Tcp {
    pub fn new(flow: usize, transfer: Transfer, delay: Duration, start: Instant) -> Self {
        Self {
            flow,
            transfer,
            delay,
            start,
            number: 0,
            flight: BTreeMap::new(),
            left: transfer.bytes,
            window: INITIAL,
            threshold: f64::INFINITY,
            recovered: 0,
            best: 0.0,
            epoch: None,
            rtt: None,
            heard: start,
        }
    }

    fn timeout(&self) -> Duration {
        self.rtt.map_or(SECOND, |rtt| (2 * rtt).max(200 * MS))
    }

    fn can_send(&self) -> bool {
        self.left > 0 && (self.flight.len() as f64) < self.window
    }

    pub fn next(&self) -> Option<Instant> {
        let begins = self.start + self.transfer.start;
        if self.number == 0 {
            return Some(begins);
        }
        (!self.flight.is_empty()).then(|| self.heard + self.timeout())
    }

    pub fn act(&mut self, port: &mut Port<'_>) {
        let on = (self.transfer.start..self.transfer.end).contains(&port.time());
        if !on {
            self.left = if port.time() >= self.transfer.end { 0 } else { self.left };
            if self.left == 0 {
                self.flight.clear();
                self.number = self.number.max(1);
            }
            return;
        }
        if self.number == 0 || self.flight.is_empty() {
            self.heard = port.now;
        }
        if !self.flight.is_empty() && self.heard + self.timeout() <= port.now {
            self.left += self.flight.len() * SEGMENT;
            self.flight.clear();
            (self.threshold, self.window) = ((self.window / 2.0).max(2.0), 1.0);
            (self.heard, self.epoch, self.recovered) = (port.now, None, self.number);
        }
        while self.can_send() {
            let mut bytes = header(Kind::Data, self.flow, self.number, port.time()).to_vec();
            bytes.resize(SEGMENT, 0);
            port.send(bytes);
            self.flight.insert(self.number, port.now);
            self.number += 1;
            self.left = self.left.saturating_sub(SEGMENT);
        }
    }

    pub fn arrived(&mut self, port: &mut Port<'_>, number: u32, sent: Duration, len: usize, record: &mut Record) {
        record.packet(self.flow, port.time(), (port.time() - sent).saturating_sub(self.delay), len);
        let mut bytes = header(Kind::Feedback, self.flow, number, sent).to_vec();
        bytes.resize(60, 0);
        port.send(bytes);
    }

    pub fn acknowledged(&mut self, port: &mut Port<'_>, number: u32, _sent: Duration) {
        let Some(left) = self.flight.remove(&number) else { return };
        let sample = port.now - left;
        let rtt = self.rtt.map_or(sample, |rtt| (7 * rtt + sample) / 8);
        (self.rtt, self.heard) = (Some(rtt), port.now);
        self.grow(port.now, rtt);
        let lost: Vec<u32> =
            self.flight.range(..number.saturating_sub(REORDERING - 1)).map(|(each, _)| *each).collect();
        for each in &lost {
            self.flight.remove(each);
            self.left += SEGMENT;
        }
        if lost.iter().any(|each| *each >= self.recovered) {
            self.recovered = self.number;
            self.best = self.window;
            let share = if self.transfer.algorithm == Algorithm::Cubic { 0.7 } else { 0.5 };
            self.window = (self.window * share).max(2.0);
            (self.threshold, self.epoch) = (self.window, None);
        }
        self.act(port);
    }

    fn grow(&mut self, now: Instant, rtt: Duration) {
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        match self.transfer.algorithm {
            Algorithm::Reno => self.window += 1.0 / self.window,
            Algorithm::Cubic => {
                let epoch = *self.epoch.get_or_insert(now);
                let passed = (now - epoch + rtt).as_secs_f64();
                let inflection = (self.best * 0.3 / 0.4).cbrt();
                let cubic = 0.4 * (passed - inflection).powi(3) + self.best;
                // Never slower than Reno with this decrease would be (RFC 9438 §4.3).
                let reno = self.best * 0.7 + 0.53 * passed / rtt.as_secs_f64();
                self.window += ((cubic.max(reno) - self.window) / self.window).clamp(0.0, 0.5);
            }
        }
    }
}
