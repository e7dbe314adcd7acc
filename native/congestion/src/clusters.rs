//! Probes on their way, and what they say: a train of packets sent faster than media arrives as fast as the path lets it
//! (packet-train dispersion; Dovrolis, Ramanathan, Moore: "Packet-dispersion techniques and a capacity-estimation
//! methodology", IEEE/ACM ToN 2004).

use std::time::Duration;

use crate::Bitrate;

/// Names one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeId(u8);

impl ProbeId {
    /// 0 is none, so it becomes 1.
    pub(crate) fn new(number: u8) -> Self {
        Self(number.max(1))
    }

    pub(crate) fn number(self) -> u8 {
        self.0
    }

    pub(crate) fn next(self) -> Self {
        Self::new(self.0.wrapping_add(1))
    }
}

/// A train of packets to be sent at `rate`: media, resent packets or padding, at least so many bytes and packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// To be told with each of its packets.
    pub id: ProbeId,
    /// At which it is sent.
    pub rate: Bitrate,
    /// At least.
    pub bytes: usize,
    /// At least.
    pub packets: usize,
}

/// Share of a probe's packets and bytes that must have arrived: else loss decides about the result.
const ENOUGH: f64 = 0.8;
/// A train that arrives this much faster than it left was held up and let go: it says nothing.
const SQUEEZED: f64 = 2.0;
/// One that arrives slower than this share of its rate has filled the path; then a little less than what arrived is free.
const FILLED: f64 = 0.9;
const FREE: f64 = 0.95;
/// Trains longer than this, in microseconds, were not sent as asked.
const LONGEST: i64 = 1_000_000;
/// Probes whose packets may still be under way: enough for those of two round trips.
const CLUSTERS: usize = 6;

#[derive(Clone, Copy, Debug)]
struct Cluster {
    probe: Probe,
    packets: usize,
    bytes: usize,
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
    /// Of the packets that were sent last and that came first.
    last_size: usize,
    first_size: usize,
    fresh: bool,
}

/// Probes of late.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clusters {
    clusters: [Option<Cluster>; CLUSTERS],
    next: usize,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What the path carries, at least.
    pub rate: Bitrate,
    /// The rate the probe was to have.
    pub probed: Bitrate,
    /// It arrived slower than it left: the path was full, if only while the probe was on it.
    pub filled: bool,
}

impl Clusters {
    /// A probe goes out.
    pub fn begin(&mut self, probe: Probe) {
        let cluster = Cluster {
            probe,
            packets: 0,
            bytes: 0,
            first_sent: i64::MAX,
            last_sent: i64::MIN,
            first_arrival: i64::MAX,
            last_arrival: i64::MIN,
            last_size: 0,
            first_size: 0,
            fresh: false,
        };
        self.clusters[self.next] = Some(cluster);
        self.next = (self.next + 1) % CLUSTERS;
    }

    /// One of its packets has arrived, times in microseconds.
    pub fn push(&mut self, probe: u8, sent: i64, arrival: i64, size: usize) {
        let known = |cluster: &&mut Cluster| cluster.probe.id.number() == probe;
        let Some(cluster) = self.clusters.iter_mut().flatten().find(known) else { return };
        cluster.packets += 1;
        cluster.bytes += size;
        cluster.first_sent = cluster.first_sent.min(sent);
        if sent >= cluster.last_sent {
            (cluster.last_sent, cluster.last_size) = (sent, size);
        }
        if arrival < cluster.first_arrival {
            (cluster.first_arrival, cluster.first_size) = (arrival, size);
        }
        cluster.last_arrival = cluster.last_arrival.max(arrival);
        cluster.fresh = true;
    }

    /// The best of what probes say with the packets that came since the last call.
    pub fn finding(&mut self) -> Option<Finding> {
        let clusters = self.clusters.iter_mut().flatten();
        let fresh = clusters.filter_map(|cluster| std::mem::take(&mut cluster.fresh).then_some(cluster));
        fresh.filter_map(|cluster| cluster.finding()).max_by_key(|finding| finding.rate)
    }
}

impl Cluster {
    fn finding(&self) -> Option<Finding> {
        let Probe { rate, bytes, packets, .. } = self.probe;
        let enough = |have: usize, want: usize| have as f64 >= want as f64 * ENOUGH;
        if self.packets < 2 || !enough(self.packets, packets) || !enough(self.bytes, bytes) {
            return None;
        }
        let (left, came) = (self.last_sent - self.first_sent, self.last_arrival - self.first_arrival);
        if !(1..=LONGEST).contains(&left) || !(1..=LONGEST).contains(&came) {
            return None;
        }
        // From the beginning of the first packet to the beginning of the last, and from end to end.
        let left = Bitrate::over(self.bytes - self.last_size, Duration::from_micros(left as u64));
        let came = Bitrate::over(self.bytes - self.first_size, Duration::from_micros(came as u64));
        if came > left.scale(SQUEEZED) {
            return None;
        }
        let filled = came < left.scale(FILLED);
        let found = if filled { came.scale(FREE) } else { came.min(left) };
        Some(Finding { rate: found, probed: rate, filled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Probe = Probe { id: ProbeId(7), rate: Bitrate::kbps(8000), bytes: 15_000, packets: 5 };

    /// Packets of 1000 bytes that leave a millisecond apart and arrive `gap` microseconds apart.
    fn finding(packets: i64, gap: i64) -> Option<Bitrate> {
        let mut clusters = Clusters::default();
        clusters.begin(PROBE);
        for n in 0..packets {
            clusters.push(7, n * 1000, 50_000 + n * gap, 1000);
        }
        clusters.finding().map(|finding| finding.rate)
    }

    #[test]
    fn a_probe_that_fits_finds_its_own_rate_and_one_that_does_not_a_little_less_than_the_paths() {
        assert_eq!(finding(15, 1000), Some(Bitrate::kbps(8000)));
        assert_eq!(finding(15, 4000), Some(Bitrate::kbps(1900)));
    }

    #[test]
    fn too_few_packets_or_a_train_that_was_squeezed_say_nothing() {
        assert_eq!(finding(11, 1000), None);
        assert_eq!(finding(12, 1000), Some(Bitrate::kbps(8000)));
        assert_eq!(finding(15, 400), None);
        assert_eq!(finding(15, 0), None);
    }

    #[test]
    fn strange_probes_are_ignored_and_a_finding_is_told_once() {
        let mut clusters = Clusters::default();
        clusters.push(7, 0, 0, 1000);
        assert_eq!(clusters.finding(), None);
        clusters.begin(PROBE);
        (0..15).for_each(|n| clusters.push(7, n * 1000, n * 1000, 1000));
        assert!(clusters.finding().is_some() && clusters.finding().is_none());
    }
}
