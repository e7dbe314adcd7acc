//! What is said: Opus packets of 20 ms from an Ogg Opus file (RFC 7845).

use std::{fs, io, path::Path};

use thiserror::Error;

/// A sentence by a speech synthesizer, 7 s at 32 kb/s.
const SPEECH: &[u8] = include_bytes!("../data/speech.opus");

/// What Opus sends for 20 ms of nothing (RFC 6716 §3.1: CELT, fullband, 20 ms).
pub const SILENCE: [u8; 3] = [0xF8, 0xFF, 0xFE];

/// A page's fixed part (RFC 3533 §6).
const PAGE_HEADER: usize = 27;
/// In a page's header type: its first packet began in an earlier page.
const CONTINUED: u8 = 0x01;

/// The longest Opus packet that fits a datagram beside its headers; voice needs a tenth of it.
pub const MAX_FRAME: usize = 1200;

/// Some seconds of speech, said over and over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    frames: Vec<Box<[u8]>>,
}

/// Why a file cannot be said.
#[derive(Debug, Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It breaks RFC 3533 or RFC 7845.
    #[error("this is not an Ogg Opus file")]
    NotOpus,
    /// RTP packets here are 20 ms each.
    #[error("its packets are not 20 ms each: encode it with a frame duration of 20 ms")]
    Duration,
    /// It would not fit a datagram.
    #[error("a packet is longer than {MAX_FRAME} bytes")]
    Long,
}

impl Voice {
    /// The one that is built in.
    pub fn built_in() -> Voice {
        Voice::parse(SPEECH).expect("the built-in speech is an Ogg Opus file")
    }

    /// From an Ogg Opus file with packets of 20 ms.
    pub fn load(path: &Path) -> Result<Voice, Unusable> {
        Voice::parse(&fs::read(path)?)
    }

    fn parse(file: &[u8]) -> Result<Voice, Unusable> {
        let mut packets = packets(file).ok_or(Unusable::NotOpus)?.into_iter();
        let mut is_next = |magic: &[u8]| packets.next().is_some_and(|packet| packet.starts_with(magic));
        if !is_next(b"OpusHead") || !is_next(b"OpusTags") {
            return Err(Unusable::NotOpus);
        }
        let frames: Vec<Box<[u8]>> = packets.map(Vec::into_boxed_slice).collect();
        if frames.is_empty() || frames.iter().any(|frame| frame.is_empty()) {
            return Err(Unusable::NotOpus);
        }
        if !frames.iter().all(|frame| is_20_ms(frame)) {
            return Err(Unusable::Duration);
        }
        if frames.iter().any(|frame| frame.len() > MAX_FRAME) {
            return Err(Unusable::Long);
        }
        Ok(Voice { frames })
    }

    /// The packet at `place`, which may go round any number of times.
    pub fn frame(&self, place: usize) -> &[u8] {
        &self.frames[place % self.frames.len()]
    }

    /// How many packets there are until it begins again.
    #[expect(clippy::len_without_is_empty, reason = "a voice is never empty")]
    pub fn len(&self) -> usize {
        self.frames.len()
    }
}

/// RFC 6716 §3.1, table 2, and §3.2: one frame of 20 ms, or two of 10.
fn is_20_ms(packet: &[u8]) -> bool {
    let frames = match packet[0] & 0x03 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u32::from(count & 0x3F)),
    };
    let microseconds = match packet[0] >> 3 {
        config @ 0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        config @ 12..=15 => [10_000, 20_000][usize::from(config % 2)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    frames * microseconds == 20_000
}

/// The packets of the first logical stream (RFC 3533 §5: each ends with a segment shorter than 255 bytes).
fn packets(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut packets = Vec::new();
    let mut packet = Vec::new();
    let mut stream = None;
    let mut rest = file;
    while !rest.is_empty() {
        let (header, after) = rest.split_first_chunk::<PAGE_HEADER>()?;
        if header[..5] != *b"OggS\0" {
            return None;
        }
        let serial = &header[14..18];
        let (lacing, mut body) = after.split_at_checked(usize::from(header[26]))?;
        let length: usize = lacing.iter().map(|segment| usize::from(*segment)).sum();
        (_, rest) = body.split_at_checked(length)?;
        if *stream.get_or_insert(serial) != serial {
            continue;
        }
        if header[5] & CONTINUED == 0 {
            packet.clear();
        }
        for &segment in lacing {
            let (part, after) = body.split_at(usize::from(segment));
            packet.extend_from_slice(part);
            body = after;
            if segment < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
    }
    Some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_speech_is_seconds_of_opus() {
        let voice = Voice::built_in();
        assert!(voice.len() > 250);
        assert_eq!(voice.frame(3), voice.frame(3 + 2 * voice.len()));
        assert!((0..voice.len()).all(|at| voice.frame(at).len() > 10));
    }

    #[test]
    fn damaged_files_are_refused_or_read_and_never_panic() {
        for cut in 0..SPEECH.len().min(4000) {
            let _ = Voice::parse(&SPEECH[..cut]);
            let mut damaged = SPEECH.to_vec();
            damaged[cut] ^= 0xFF;
            let _ = Voice::parse(&damaged);
        }
        assert!(matches!(Voice::parse(b"RIFF"), Err(Unusable::NotOpus)));
        assert!(matches!(Voice::parse(b""), Err(Unusable::NotOpus)));
    }

    #[test]
    fn packets_of_another_duration_are_told_from_ours() {
        assert!(is_20_ms(&SILENCE));
        assert!(is_20_ms(&[0x78]));
        assert!(is_20_ms(&[0x71]), "two of 10 ms");
        assert!(!is_20_ms(&[0x70]), "10 ms");
        assert!(!is_20_ms(&[0x18]), "60 ms");
        assert!(!is_20_ms(&[0x7B]), "a count that is missing");
    }
}
