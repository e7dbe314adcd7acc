//! How much each layer of an encoding costs.

use std::time::{Duration, Instant};

/// Between two looks.
pub(crate) const WINDOW: Duration = Duration::from_millis(500);
/// Share of a new look in the running rate: a second and a half until a change is believed, longer than a key frame's bulge.
const SHARE: f32 = 0.4;

/// Bits a second by (spatial, temporal) layer.
#[derive(Default)]
pub(crate) struct Rates {
    bytes: [[u32; 4]; 4],
    rates: [[f32; 4]; 4],
    since: Option<Instant>,
    looks: u8,
}

impl Rates {
    pub(crate) fn received(&mut self, spatial: u8, temporal: u8, len: usize) {
        self.bytes[usize::from(spatial & 3)][usize::from(temporal & 3)] += len as u32;
    }

    /// Look, when it is time. `now` and then.
    pub(crate) fn look(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed < WINDOW {
            return;
        }
        self.since = Some(now);
        if self.bytes.as_flattened().iter().all(|bytes| *bytes == 0) {
            return; // paused: what it cost before is the best guess of what it will
        }
        let share = if self.looks < 2 { 1.0 } else { SHARE };
        self.looks = self.looks.saturating_add(1);
        for (rate, bytes) in self.rates.as_flattened_mut().iter_mut().zip(self.bytes.as_flattened_mut()) {
            let seen = 8.0 * *bytes as f32 / passed.as_secs_f32();
            *rate += share * (seen - *rate);
            *bytes = 0;
        }
    }

    /// Is anything known?
    pub(crate) fn is_known(&self) -> bool {
        self.looks > 0
    }

    /// Of all layers up to this one, in bits a second.
    pub(crate) fn up_to(&self, spatial: u8, temporal: u8) -> u64 {
        let layers = self.rates.iter().take(usize::from(spatial) + 1);
        layers.flat_map(|each| each.iter().take(usize::from(temporal) + 1)).sum::<f32>() as u64
    }

    /// The highest layers that carry anything.
    pub(crate) fn highest(&self) -> (u8, u8) {
        let carries = |spatial: usize, temporal: usize| self.rates[spatial][temporal] > 500.0;
        let spatial = (0..4).rev().find(|&spatial| (0..4).any(|temporal| carries(spatial, temporal)));
        let temporal = (0..4).rev().find(|&temporal| (0..4).any(|spatial| carries(spatial, temporal)));
        (spatial.unwrap_or(0) as u8, temporal.unwrap_or(0) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_layer_costs_what_it_sends_and_a_pause_changes_nothing() {
        let start = Instant::now();
        let mut rates = Rates::default();
        for ms in 0..4000u32 {
            let now = start + Duration::from_millis(u64::from(ms));
            rates.look(now);
            if ms < 2000 && ms % 10 == 0 {
                rates.received(0, (ms / 10 % 2) as u8, 125);
            }
        }
        let [base, whole] = [rates.up_to(0, 0), rates.up_to(0, 1)].map(|rate| rate as f32);
        assert!((base / 50_000.0 - 1.0).abs() < 0.05 && (whole / 100_000.0 - 1.0).abs() < 0.05, "{base} {whole}");
        assert_eq!(rates.highest(), (0, 1));
    }
}
