//! What arrives: statistics of every stream (RFC 3550 §6.4, appendix A).

use std::{collections::BTreeSet, time::Instant};

use sfu::{
    rtcp::{self, ReportBlock},
    rtp::Reception,
    srtp::{MAX_SSRCS, Unprotected},
};

use crate::clock::{Clock, middle};

/// Opus's clock (RFC 7587 §4.1), in Hz.
pub(crate) const AUDIO_RATE: u32 = 48_000;
/// Contributing sources that are told apart; the slots of a stage have a different one every few seconds.
const MAX_CSRCS: usize = 1024;

/// How one stream arrived.
#[derive(Clone, Debug, Default)]
pub struct StreamStatistics {
    /// Which.
    pub ssrc: u32,
    /// Opened and not seen before.
    pub packets: u64,
    /// Of their payloads.
    pub bytes: u64,
    /// RFC 3550 A.3.
    pub lost: i64,
    /// RFC 3550 A.8, in seconds.
    pub jitter: f32,
    /// Times that sequence numbers were skipped.
    pub gaps: u64,
    /// Came after one with a higher number.
    pub reordered: u64,
}

#[derive(Default)]
pub(crate) struct Listener {
    streams: Vec<Stream>,
    csrcs: BTreeSet<u32>,
}

struct Stream {
    ssrc: u32,
    reception: Reception,
    packets: u64,
    bytes: u64,
    highest: u64,
    gaps: u64,
    reordered: u64,
}

impl Listener {
    /// Take note of an opened packet, whose timestamps count `rate` a second.
    pub(crate) fn received(&mut self, now: Instant, clock: &Clock, rate: u32, opened: &Unprotected, payload: usize) {
        let ssrc = opened.header.ssrc;
        let at = match self.streams.iter().position(|stream| stream.ssrc == ssrc) {
            Some(at) => at,
            None => {
                debug_assert!(self.streams.len() < MAX_SSRCS, "SRTP opens no more");
                self.streams.push(Stream::new(ssrc, rate, opened.index));
                self.streams.len() - 1
            }
        };
        self.streams[at].received(opened.index, payload);
        self.streams[at].reception.received(opened.index, opened.header.timestamp, clock.elapsed(now));
    }

    /// Somebody was heard.
    pub(crate) fn heard(&mut self, csrc: u32) {
        if self.csrcs.len() < MAX_CSRCS {
            self.csrcs.insert(csrc);
        }
    }

    /// A sender report of the server's.
    pub(crate) fn sender_report(&mut self, now: Instant, clock: &Clock, ssrc: u32, info: &rtcp::SenderInfo) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
            stream.reception.sender_report(middle(info.ntp), middle(clock.ntp(now)));
        }
    }

    /// Report blocks for all streams, into `blocks`; how many there are.
    pub(crate) fn report(&mut self, now: Instant, clock: &Clock, blocks: &mut [ReportBlock]) -> usize {
        let ntp = middle(clock.ntp(now));
        let reports = self.streams.iter_mut().filter_map(|stream| stream.reception.report_block(stream.ssrc, ntp));
        let mut count = 0;
        for (place, block) in blocks.iter_mut().zip(reports) {
            *place = block;
            count += 1;
        }
        count
    }

    pub(crate) fn packets(&self) -> u64 {
        self.streams.iter().map(|stream| stream.packets).sum()
    }

    pub(crate) fn streams(&self) -> Vec<StreamStatistics> {
        let statistics = |stream: &Stream| StreamStatistics {
            ssrc: stream.ssrc,
            packets: stream.packets,
            bytes: stream.bytes,
            lost: stream.reception.lost(),
            jitter: stream.reception.jitter(),
            gaps: stream.gaps,
            reordered: stream.reordered,
        };
        self.streams.iter().map(statistics).collect()
    }

    pub(crate) fn csrcs(&self) -> Vec<u32> {
        self.csrcs.iter().copied().collect()
    }
}

impl Stream {
    fn new(ssrc: u32, rate: u32, index: u64) -> Stream {
        let reception = Reception::new(rate);
        Stream { ssrc, reception, packets: 0, bytes: 0, highest: index, gaps: 0, reordered: 0 }
    }

    fn received(&mut self, index: u64, payload: usize) {
        if index < self.highest {
            self.reordered += 1;
        } else {
            self.gaps += u64::from(index > self.highest + 1);
            self.highest = index;
        }
        self.packets += 1;
        self.bytes += payload as u64;
    }
}
