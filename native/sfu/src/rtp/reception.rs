//! How well one source arrives (RFC 3550 §6.4.1, appendices A.3 and A.8).

use std::time::Duration;

use crate::rtcp::ReportBlock;

/// Reception statistics of one SSRC. Only authenticated packets are told to it, so RFC 3550's probation is not needed.
pub struct Reception {
    clock_rate: u32,
    first: Option<u64>,
    highest: u64,
    received: u64,
    /// At the last report.
    expected_prior: u64,
    received_prior: u64,
    /// Arrival minus timestamp of the packet before, in ticks.
    transit: Option<u32>,
    /// In ticks times 16 (RFC 3550 A.8).
    jitter: u32,
    /// Of the last sender report: the middle of its NTP time, and when it came (same units).
    sender_report: Option<(u32, u32)>,
}

impl Reception {
    /// `clock_rate` in Hz.
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            first: None,
            highest: 0,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter: 0,
            sender_report: None,
        }
    }

    /// A packet with the 48-bit `index` came at `arrival` by any steady clock.
    pub fn received(&mut self, index: u64, rtp_timestamp: u32, arrival: Duration) {
        self.first = Some(self.first.map_or(index, |first| first.min(index)));
        self.highest = if self.received == 0 { index } else { self.highest.max(index) };
        self.received += 1;
        let ticks = (arrival.as_micros() * u128::from(self.clock_rate) / 1_000_000) as u32;
        let transit = ticks.wrapping_sub(rtp_timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            // A jump of over ten seconds is a new timeline and not the network's doing.
            if difference < self.clock_rate * 10 {
                self.jitter = self.jitter.wrapping_add(difference).wrapping_sub((self.jitter + 8) >> 4);
            }
        }
    }

    /// A sender report: the middle of its NTP timestamp, and of ours when it came.
    pub fn sender_report(&mut self, their_ntp_middle: u32, our_ntp_middle: u32) {
        self.sender_report = Some((their_ntp_middle, our_ntp_middle));
    }

    /// Index of the newest packet.
    pub fn highest(&self) -> Option<u64> {
        self.first.map(|_| self.highest)
    }

    /// Has anything arrived?
    pub fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    fn expected(&self) -> u64 {
        self.first.map_or(0, |first| self.highest - first + 1)
    }

    /// Packets that have come.
    pub fn packets(&self) -> u64 {
        self.received
    }

    /// Packets lost so far; negative when more arrived than were sent.
    pub fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// Seconds.
    pub fn jitter(&self) -> f32 {
        self.jitter as f32 / 16.0 / self.clock_rate as f32
    }

    /// The block for our next report; None while nothing has arrived. Fractions count from the last call.
    pub fn report_block(&mut self, ssrc: u32, our_ntp_middle: u32) -> Option<ReportBlock> {
        self.first?;
        let expected = self.expected() - self.expected_prior;
        let received = self.received - self.received_prior;
        self.expected_prior = self.expected();
        self.received_prior = self.received;
        let fraction_lost = match expected.checked_sub(received) {
            Some(lost @ 1..) => (lost * 256 / expected).min(255) as u8,
            _ => 0,
        };
        let (last_sender_report, delay) =
            self.sender_report.map_or((0, 0), |(theirs, ours)| (theirs, our_ntp_middle.wrapping_sub(ours)));
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            // RFC 3550 §6.4.1: 24 bits, clamped.
            cumulative_lost: self.lost().clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest_sequence: self.highest as u32,
            jitter: self.jitter >> 4,
            last_sender_report,
            delay_since_last_sender_report: delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn loss_is_counted_over_a_rollover() {
        let mut reception = Reception::new(48_000);
        for index in (65_530u64..65_550).filter(|index| index % 4 != 0) {
            reception.received(index, (index * 960) as u32, MS * 20 * (index as u32));
        }
        let block = reception.report_block(1, 0).unwrap();
        assert_eq!(block.cumulative_lost, 5);
        assert_eq!(block.fraction_lost, (5 * 256 / 20) as u8);
        assert_eq!(block.highest_sequence, 65_549);
        assert_eq!(reception.report_block(1, 0).unwrap().fraction_lost, 0);
    }

    #[test]
    fn jitter_converges_to_the_mean_difference() {
        let mut reception = Reception::new(48_000);
        for index in 0..1000u32 {
            let late = if index % 2 == 0 { 0 } else { 10 };
            reception.received(u64::from(index), index * 960, MS * (20 * index + late));
        }
        assert!((reception.jitter() - 0.010).abs() < 0.001, "{}", reception.jitter());
    }

    #[test]
    fn duplicates_make_loss_negative_and_never_underflow() {
        let mut reception = Reception::new(48_000);
        for _ in 0..3 {
            reception.received(7, 0, MS);
        }
        let block = reception.report_block(1, 0).unwrap();
        assert_eq!((block.cumulative_lost, block.fraction_lost), (-2, 0));
    }
}
