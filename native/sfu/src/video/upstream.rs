//! A publisher's side of its transport: its cameras and screens, and what it is told of how they come.

use std::time::{Duration, Instant};

use congestion::Arrivals;

use super::published::Published;
use crate::rtp::Header;
use crate::{Extensions, VideoConfig};

pub(crate) struct Upstream {
    pub(crate) published: Vec<Published>,
    pub(crate) ids: Extensions,
    arrivals: Option<Arrivals>,
    /// A timer to tell is set, for then.
    pub(crate) telling: Option<Instant>,
}

impl Upstream {
    /// None: it publishes nothing.
    pub(crate) fn new(config: &VideoConfig) -> Option<Box<Self>> {
        if config.sources.is_empty() {
            return None;
        }
        let ids = config.extensions;
        let arrivals = (config.transport_cc && ids.transport_cc.is_some()).then(Arrivals::new);
        let published = config.sources.iter().cloned().map(Published::new).collect();
        Some(Box::new(Self { published, ids, arrivals, telling: None }))
    }

    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = u32> {
        self.published.iter().flat_map(Published::ssrcs)
    }

    /// Take note of when a packet came.
    pub(crate) fn arrived(&mut self, now: Instant, since: Duration, header: &Header, packet: &[u8]) {
        let Some((arrivals, id)) = self.arrivals.as_mut().zip(self.ids.transport_cc) else { return };
        if let Some(&[high, low]) = header.extension(packet, id) {
            arrivals.received(now, u16::from_be_bytes([high, low]), since);
        }
    }

    /// When there is something to tell.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let missing = self.published.iter().flat_map(|published| &published.inputs);
        let repair =
            missing.into_iter().any(|input| input.losses.has_missing()).then(|| now + Duration::from_millis(10));
        let feedback = self.arrivals.as_ref().and_then(Arrivals::due);
        [repair, feedback].into_iter().flatten().min()
    }

    /// Write transport-wide feedback, if it is time. Returns its length.
    pub(crate) fn write_arrivals(&mut self, now: Instant, out: &mut [u8]) -> usize {
        let Some(arrivals) = &mut self.arrivals else { return 0 };
        if arrivals.due().is_none_or(|due| due > now) {
            return 0;
        }
        arrivals.write(now, out)
    }
}
