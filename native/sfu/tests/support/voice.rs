//! Who says what when.

use std::time::Duration;

/// 20 ms of a microphone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// A frame of this level (-dBov): speech, or the tone of a room.
    Frame(u8),
    /// Opus says with one byte that nothing is said (RFC 7587 §3.1.3).
    Quiet,
    /// No packet.
    Nothing,
}

/// A way to use a microphone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Listens,
    /// Without end, at this level.
    Talks(u8),
    /// `number` of `of` talks for `length`, then the next one; who does not sends quiet frames as DTX does.
    Turns {
        number: u32,
        of: u32,
        length: Duration,
        level: u8,
    },
}

/// Comfort noise is sent this often in a pause.
const QUIET_EVERY: u64 = 20;

impl Plan {
    /// In frame `frame` since `start`.
    pub fn speech(self, frame: u64) -> Speech {
        match self {
            Plan::Listens => Speech::Nothing,
            Plan::Talks(level) => Speech::Frame(level),
            Plan::Turns { number, of, length, level } => {
                let frames = (length.as_millis() / 20).max(1) as u64;
                let (turn, within) = (frame / frames, frame % frames);
                if turn % u64::from(of) == u64::from(number) {
                    Speech::Frame(level)
                } else if within.is_multiple_of(QUIET_EVERY) {
                    Speech::Quiet
                } else {
                    Speech::Nothing
                }
            }
        }
    }
}
