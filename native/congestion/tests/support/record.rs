//! What happened, and figures of it.

use std::time::Duration;

use congestion::Bitrate;

use super::{MS, SECOND};

#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    pub at: Duration,
    pub flow: usize,
    /// In queues.
    pub waited: Duration,
    pub len: usize,
}

#[derive(Debug, Default)]
pub struct Record {
    pub packets: Vec<Arrived>,
    /// By flow: targets every 100 ms; none for TCP.
    pub targets: Vec<Vec<(Duration, Bitrate)>>,
    pub is_media: Vec<bool>,
}

impl Record {
    pub fn flow(&mut self, media: bool) {
        self.targets.push(Vec::new());
        self.is_media.push(media);
    }

    pub fn packet(&mut self, flow: usize, at: Duration, waited: Duration, len: usize) {
        self.packets.push(Arrived { at, flow, waited, len });
    }

    pub fn target(&mut self, flow: usize, at: Duration, target: Bitrate) {
        self.targets[flow].push((at, target));
    }

    fn between(&self, flow: Option<usize>, from: Duration, to: Duration) -> impl Iterator<Item = &Arrived> {
        let begin = self.packets.partition_point(|packet| packet.at < from);
        let end = self.packets.partition_point(|packet| packet.at < to);
        self.packets[begin..end.max(begin)].iter().filter(move |packet| flow.is_none_or(|flow| packet.flow == flow))
    }

    /// What arrived of a flow, or of all.
    pub fn rate(&self, flow: Option<usize>, from: u64, to: u64) -> Bitrate {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        let bytes = self.between(flow, from, to).map(|packet| packet.len).sum();
        Bitrate::over(bytes, to - from)
    }

    /// Time in queues that this share of packets did not exceed.
    pub fn waited(&self, flow: Option<usize>, share: f64, from: u64, to: u64) -> Duration {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        let mut waited: Vec<_> = self.between(flow, from, to).map(|packet| packet.waited).collect();
        waited.sort_unstable();
        let index = (waited.len() as f64 * share) as usize;
        waited.get(index.min(waited.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// From `from` seconds on: how long until what arrives in half a second reaches this rate.
    pub fn reaches(&self, flow: Option<usize>, rate: Bitrate, from: u64) -> Option<Duration> {
        let from = Duration::from_secs(from);
        let last = self.packets.last()?.at;
        let mut at = from;
        while at + 500 * MS <= last {
            let bytes = self.between(flow, at, at + 500 * MS).map(|packet| packet.len).sum();
            if Bitrate::over(bytes, 500 * MS) >= rate {
                return Some(at + 500 * MS - from);
            }
            at += 100 * MS;
        }
        None
    }

    /// From `from` seconds on: how long until the target reaches this rate.
    pub fn aims(&self, flow: usize, rate: Bitrate, from: u64) -> Option<Duration> {
        let from = Duration::from_secs(from);
        let mut targets = self.targets[flow].iter().filter(|(at, _)| *at >= from);
        targets.find(|(_, target)| *target >= rate).map(|(at, _)| *at - from)
    }

    /// From `from` seconds on: how long until for a second no packet waits for more than `most`.
    pub fn calms(&self, most: Duration, from: u64) -> Option<Duration> {
        let from = Duration::from_secs(from);
        let last = self.packets.last()?.at;
        let mut calm = from;
        for packet in self.between(None, from, last) {
            if packet.waited > most {
                calm = packet.at;
            } else if packet.at - calm > SECOND {
                return Some(calm - from);
            }
        }
        None
    }

    /// The least and the greatest target of a flow.
    pub fn extremes(&self, flow: usize, from: u64, to: u64) -> (Bitrate, Bitrate) {
        let range = Duration::from_secs(from)..Duration::from_secs(to);
        let targets = self.targets[flow].iter().filter(|(at, _)| range.contains(at)).map(|(_, target)| *target);
        let least = targets.clone().min().unwrap_or_default();
        (least, targets.max().unwrap_or_default())
    }
}

/// Jain's fairness index (Jain, Chiu, Hawe: "A quantitative measure of fairness", 1984).
pub fn fairness(rates: &[Bitrate]) -> f64 {
    let sum: f64 = rates.iter().map(|rate| rate.0 as f64).sum();
    let squares: f64 = rates.iter().map(|rate| (rate.0 as f64).powi(2)).sum();
    sum * sum / (rates.len() as f64 * squares)
}
