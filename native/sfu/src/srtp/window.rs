//! Which packet indices of one SSRC were seen (RFC 3711 §3.3.2).

/// Bits of the window: 20 s of 20 ms audio, or a second of video at 5 Mb/s.
const SIZE: u64 = 1024;
const WORDS: usize = (SIZE / 64) as usize;

pub(super) struct Window {
    highest: Option<u64>,
    /// Bit `index % SIZE` of an index in (highest − SIZE, highest].
    seen: [u64; WORDS],
}

impl Window {
    pub(super) fn new() -> Self {
        Self { highest: None, seen: [0; WORDS] }
    }

    /// 0 before the first packet.
    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Not seen, and new enough to tell.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.highest {
            None => true,
            Some(highest) if index > highest => true,
            Some(highest) => highest - index < SIZE && !self.bit(index),
        }
    }

    fn bit(&self, index: u64) -> bool {
        self.seen[(index % SIZE / 64) as usize] >> (index % 64) & 1 == 1
    }

    /// `index` is fresh and authenticated.
    pub(super) fn mark(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {}
            Some(highest) if index - highest < SIZE => {
                for skipped in highest + 1..index {
                    self.seen[(skipped % SIZE / 64) as usize] &= !(1 << (skipped % 64));
                }
                self.highest = Some(index);
            }
            _ => {
                self.seen = [0; WORDS];
                self.highest = Some(index);
            }
        }
        self.seen[(index % SIZE / 64) as usize] |= 1 << (index % 64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_index_is_fresh_once(start in 0u64..1 << 40, steps in proptest::collection::vec(-1500i64..3000, 1..300)) {
            let mut window = Window::new();
            let mut seen = HashSet::new();
            let mut highest = start;
            for step in steps {
                let index = (highest as i64 + step).max(0) as u64;
                let fresh = window.is_fresh(index);
                if seen.contains(&index) {
                    prop_assert!(!fresh);
                } else if seen.is_empty() || index + SIZE > highest {
                    prop_assert!(fresh, "{index} of {highest}");
                }
                if fresh {
                    window.mark(index);
                    seen.insert(index);
                    highest = if seen.len() == 1 { index } else { highest.max(index) };
                }
            }
        }
    }
}
