//! What one member may send: a token bucket (RFC 2697's, in two units), filled by time and emptied by packets.
//! With video the bucket is that of the whole member, for nothing tells a packet's kind before it was opened.

use std::time::{Duration, Instant};

/// Opus in the shortest frames there are (2.5 ms, RFC 6716 §2.1.4), and as many again for reports.
const PACKETS_PER_SECOND: f32 = 800.0;
/// Opus at its highest rate (510 kb/s, RFC 6716 §2.1.1) twice, for RED, with headers: 200 kB/s.
const BYTES_PER_SECOND: f32 = 200_000.0;
/// And for each camera or screen: three layers of 12 Mb/s together in packets of 1,200 bytes, repairs and probes included.
const VIDEO_PACKETS_PER_SECOND: f32 = 2500.0;
const VIDEO_BYTES_PER_SECOND: f32 = 2_000_000.0;
/// What may come at once: a network that held everything back for this long.
const BURST_SECONDS: f32 = 1.0;

pub(crate) struct Policer {
    packets: f32,
    bytes: f32,
    filled: Instant,
    /// A second.
    packet_rate: f32,
    byte_rate: f32,
}

impl Policer {
    /// `videos`: cameras and screens of the member.
    pub(crate) fn new(now: Instant, videos: usize) -> Self {
        let packet_rate = PACKETS_PER_SECOND + videos as f32 * VIDEO_PACKETS_PER_SECOND;
        let byte_rate = BYTES_PER_SECOND + videos as f32 * VIDEO_BYTES_PER_SECOND;
        let (packets, bytes) = (packet_rate * BURST_SECONDS, byte_rate * BURST_SECONDS);
        Self { packets, bytes, filled: now, packet_rate, byte_rate }
    }

    /// May a packet of `len` bytes pass?
    pub(crate) fn admits(&mut self, now: Instant, len: usize) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        // Filled in steps that a float of this size can hold.
        if passed >= Duration::from_millis(1) {
            self.filled = now;
            let seconds = passed.as_secs_f32();
            self.packets = (self.packets + seconds * self.packet_rate).min(self.packet_rate * BURST_SECONDS);
            self.bytes = (self.bytes + seconds * self.byte_rate).min(self.byte_rate * BURST_SECONDS);
        }
        if self.packets < 1.0 || self.bytes < len as f32 {
            return false;
        }
        self.packets -= 1.0;
        self.bytes -= len as f32;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How many of `count` packets of `len` bytes, `apart` from each other, pass.
    fn passed(count: u32, len: usize, apart: Duration) -> u32 {
        let start = Instant::now();
        let mut policer = Policer::new(start, 0);
        (0..count).map(|n| u32::from(policer.admits(start + apart * n, len))).sum()
    }

    #[test]
    fn every_rate_that_opus_has_passes_for_ever() {
        assert_eq!(passed(40_000, 60, 5 * MS / 2), 40_000, "2.5 ms frames");
        assert_eq!(passed(10_000, 2 * 1275 + 60, 20 * MS), 10_000, "510 kb/s with RED");
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_after_its_burst() {
        // 10 s at 10,000 a second.
        let packets = passed(100_000, 50, MS / 10);
        assert!((8_700..8_900).contains(&packets), "{packets}");
        // 10 s at 1.4 MB/s.
        let packets = passed(10_000, 1400, MS);
        assert!((1_500..1_600).contains(&packets), "{packets}");
    }
}
