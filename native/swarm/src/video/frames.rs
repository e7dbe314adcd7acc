//! Frames out of packets, and what a decoder and its user would think of them.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    VideoStamp, VideoStatistics,
    repair::Repair,
    vp8::{Descriptor, next_picture},
};

/// Frames that others may refer to; L1T3 goes back by four.
const REFERENCES: usize = 8;
/// Intervals between frames of which the mean is taken, and how few say nothing (as in libwebrtc's VideoQualityObserver).
const INTERVALS: usize = 30;
const MIN_INTERVALS: usize = 5;
/// W3C webrtc-stats, freezeCount: a frame that comes later than 3 times the mean, and by so much.
const FREEZE: Duration = Duration::from_millis(150);

/// What is needed of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub timestamp: u32,
    pub stamp: Option<VideoStamp>,
    pub descriptor: Option<Descriptor>,
}

struct Partial {
    first: VideoStamp,
    next: u16,
}

/// Who is seen, and in which encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Playing {
    sender: (u32, u32),
    encoding: u8,
}

#[derive(Default)]
pub(crate) struct Frames {
    /// The index that is to be looked at next.
    next: Option<u64>,
    waiting: BTreeMap<u64, Part>,
    current: Option<Partial>,
    /// A packet was lost since the last whole frame, and since the last key frame.
    gap: bool,
    dirty: bool,
    playing: Option<Playing>,
    decoded: VecDeque<u32>,
    /// Descriptor and timestamp of the last whole frame.
    last: Option<(Descriptor, u32)>,
    last_at: Option<Instant>,
    intervals: VecDeque<Duration>,
    /// Nothing can be decoded before a key frame comes.
    pub wants_key: bool,
    pub statistics: VideoStatistics,
}

impl Frames {
    /// A packet that was not there before.
    pub fn arrived(&mut self, index: u64, part: Part) {
        self.next.get_or_insert(index);
        self.waiting.insert(index, part);
    }

    /// Go on as far as everything is there, or not waited for any more.
    pub fn advance(&mut self, now: Instant, repair: &Repair) {
        while let (Some(next), Some((&first, _))) = (self.next, self.waiting.first_key_value()) {
            if first > next {
                // What is not waited for before the next that is there, or that is.
                let Some(end) = (next..first).find(|index| repair.waits_for(*index)).or(Some(first)) else { return };
                if end == next {
                    return;
                }
                self.statistics.holes += end - next;
                (self.gap, self.dirty, self.current) = (true, true, None);
                self.next = Some(end);
                continue;
            }
            let Some((_, part)) = self.waiting.pop_first() else { return };
            self.next = Some(next.max(first + 1));
            // Padding, and what others send, is no part of anything.
            if let (Some(stamp), Some(descriptor)) = (part.stamp, part.descriptor) {
                self.take(now, stamp, descriptor, part.timestamp);
            }
        }
    }

    fn take(&mut self, now: Instant, stamp: VideoStamp, descriptor: Descriptor, timestamp: u32) {
        let continues = self.current.take().filter(|partial| {
            let first = &partial.first;
            partial.next == stamp.part && VideoStamp { part: stamp.part, ..*first } == stamp
        });
        let first = match continues {
            Some(partial) => partial.first,
            None if stamp.part == 0 => stamp,
            None => {
                self.statistics.miscut += u64::from(!self.gap && stamp.part + 1 == stamp.parts);
                return;
            }
        };
        if stamp.part + 1 == stamp.parts {
            self.whole(now, &first, descriptor, timestamp);
        } else {
            self.current = Some(Partial { first, next: stamp.part + 1 });
        }
    }

    fn whole(&mut self, now: Instant, frame: &VideoStamp, descriptor: Descriptor, timestamp: u32) {
        if let Some((last, last_timestamp)) = self.last.replace((descriptor, timestamp)).filter(|_| !self.gap) {
            let is_next = descriptor.picture == next_picture(last.picture)
                && descriptor.base == last.base.wrapping_add(u8::from(descriptor.temporal == 0))
                && (1..1 << 31).contains(&timestamp.wrapping_sub(last_timestamp));
            self.statistics.jumps += u64::from(!is_next);
        }
        self.gap = false;
        let playing = Playing { sender: (frame.run, frame.sender), encoding: frame.encoding };
        let has_reference = self.playing == Some(playing) && self.decoded.contains(&frame.reference);
        if !frame.is_key() && !has_reference {
            self.statistics.undecodable += 1;
            self.statistics.miscut += u64::from(!self.dirty && self.playing.is_some());
            self.wants_key |= frame.temporal == 0 || self.playing != Some(playing);
            return;
        }
        if frame.is_key() {
            self.statistics.key_frames += 1;
            self.decoded.clear();
            (self.dirty, self.wants_key) = (false, false);
        }
        if self.decoded.len() == REFERENCES {
            self.decoded.pop_front();
        }
        self.decoded.push_back(frame.frame);
        let at = usize::from(frame.encoding).min(self.statistics.frames.len() - 1);
        self.statistics.frames[at] += 1;
        match self.playing.replace(playing) {
            Some(before) if before.sender != playing.sender => {
                self.statistics.changes += 1;
                self.last_at = None;
                self.intervals.clear();
            }
            Some(before) if before != playing => self.statistics.switches += 1,
            _ => {}
        }
        self.shown(now);
    }

    /// A frame is on the screen: was the one before there for too long?
    fn shown(&mut self, now: Instant) {
        let Some(interval) = self.last_at.replace(now).map(|last| now.saturating_duration_since(last)) else { return };
        self.statistics.longest = self.statistics.longest.max(interval);
        if self.intervals.len() >= MIN_INTERVALS {
            let mean = self.intervals.iter().sum::<Duration>() / self.intervals.len() as u32;
            if interval > (3 * mean).max(mean + FREEZE) {
                self.statistics.freezes += 1;
                self.statistics.frozen += interval;
            }
        }
        if self.intervals.len() == INTERVALS {
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::encoding::{Encoder, Frame};

    const FRAME: Duration = Duration::from_millis(33);

    /// Frames of two parts, as one who cuts nothing forwards them.
    struct Line {
        frames: Frames,
        repair: Repair,
        now: Instant,
        index: u64,
        timestamp: u32,
        picture: u16,
        base: u8,
    }

    impl Line {
        fn new() -> Line {
            let (frames, repair) = (Frames::default(), Repair::default());
            Line { frames, repair, now: Instant::now(), index: 65_530, timestamp: 0, picture: 9, base: 9 }
        }

        fn forward(&mut self, encoding: u8, frame: Frame, lost: Option<u16>) {
            self.now += FRAME;
            self.timestamp += 2970;
            self.picture = next_picture(self.picture);
            let temporal = frame.descriptor.temporal;
            self.base = self.base.wrapping_add(u8::from(temporal == 0));
            let descriptor = Descriptor { picture: self.picture, base: self.base, ..frame.descriptor };
            for part in 0..2 {
                let (index, timestamp) = (self.index, self.timestamp);
                self.index += 1;
                if lost == Some(part) {
                    continue;
                }
                let (frame, reference) = (frame.number, frame.reference);
                let sent = Duration::from_millis(1);
                let (run, sender, parts) = (1, 2, 2);
                let stamp = VideoStamp { run, sender, encoding, temporal, frame, reference, part, parts, sent };
                self.repair.arrived(self.now, index);
                self.frames.arrived(index, Part { timestamp, stamp: Some(stamp), descriptor: Some(descriptor) });
                self.frames.advance(self.now, &self.repair);
            }
        }

        fn give_up(&mut self) {
            self.repair = Repair::default();
            self.frames.advance(self.now, &self.repair);
        }
    }

    #[test]
    fn whole_frames_are_counted_and_nothing_else() {
        let (mut line, mut encoder) = (Line::new(), Encoder::new(1));
        (0..40).for_each(|at| line.forward(1, encoder.encode(at == 20), None));
        let expected = VideoStatistics { frames: [0, 40, 0, 0], key_frames: 2, longest: FRAME, ..Default::default() };
        assert_eq!(line.frames.statistics, expected);
    }

    #[test]
    fn a_switch_without_a_key_frame_is_the_servers_fault() {
        let (mut line, mut small, mut large) = (Line::new(), Encoder::new(1), Encoder::new(2));
        (0..4).for_each(|_| line.forward(0, small.encode(false), None));
        large.encode(true);
        line.forward(1, large.encode(false), None);
        assert_eq!((line.frames.statistics.miscut, line.frames.statistics.undecodable), (1, 1));
        assert!(line.frames.wants_key);
        line.forward(1, large.encode(true), None);
        assert!(!line.frames.wants_key);
        assert_eq!((line.frames.statistics.switches, line.frames.statistics.frames[1]), (1, 1));
        assert_eq!(line.frames.statistics.jumps, 0);
    }

    #[test]
    fn a_layer_that_is_left_out_is_not_missed_and_one_that_is_needed_is() {
        let (mut line, mut encoder) = (Line::new(), Encoder::new(1));
        for _ in 0..8 {
            let frame = encoder.encode(false);
            if frame.descriptor.temporal < 2 {
                line.forward(0, frame, None);
            }
        }
        assert_eq!((line.frames.statistics.decoded(), line.frames.statistics.undecodable), (4, 0));
        for _ in 0..4 {
            let frame = encoder.encode(false);
            if frame.descriptor.temporal != 1 {
                line.forward(0, frame, None);
            }
        }
        assert_eq!((line.frames.statistics.undecodable, line.frames.statistics.miscut), (1, 1));
        assert!(!line.frames.wants_key, "the lowest layer goes on");
    }

    #[test]
    fn a_lost_packet_is_nobodys_fault_and_freezes_until_a_key_frame() {
        let (mut line, mut encoder) = (Line::new(), Encoder::new(1));
        (0..16).for_each(|_| line.forward(0, encoder.encode(false), None));
        line.forward(0, encoder.encode(false), Some(0));
        (0..8).for_each(|_| line.forward(0, encoder.encode(false), None));
        assert_eq!(line.frames.statistics.decoded(), 16, "it is waited for");
        line.give_up();
        assert_eq!((line.frames.statistics.holes, line.frames.statistics.miscut), (1, 0));
        assert!(line.frames.wants_key && line.frames.statistics.undecodable > 3);
        line.forward(0, encoder.encode(true), None);
        assert_eq!((line.frames.statistics.freezes, line.frames.statistics.jumps), (1, 0));
        assert_eq!(line.frames.statistics.longest, 10 * FRAME);
    }

    #[test]
    fn numbers_that_do_not_go_on_are_jumps() {
        let (mut line, mut encoder) = (Line::new(), Encoder::new(1));
        line.forward(0, encoder.encode(false), None);
        line.picture += 1;
        line.forward(0, encoder.encode(false), None);
        line.base += 1;
        line.forward(0, encoder.encode(false), None);
        line.timestamp -= 2970;
        line.forward(0, encoder.encode(false), None);
        assert_eq!(line.frames.statistics.jumps, 3);
    }

    #[test]
    fn a_frame_that_is_cut_in_two_is_the_servers_fault() {
        let (mut line, mut encoder) = (Line::new(), Encoder::new(1));
        line.forward(0, encoder.encode(false), None);
        line.forward(0, encoder.encode(false), Some(0));
        // As if the number had never been given out.
        let mut parts = std::mem::take(&mut line.frames.waiting);
        let (_, part) = parts.pop_first().unwrap();
        line.frames.arrived(line.frames.next.unwrap(), part);
        line.give_up();
        assert_eq!((line.frames.statistics.miscut, line.frames.statistics.holes), (1, 0));
    }
}
