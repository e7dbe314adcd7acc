//! What came of a load, in numbers.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::{Value, json};

use crate::{CameraStatistics, Outcome, VideoStatistics, histogram::Histogram};

/// How many clients of one kind there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Were to join.
    pub asked: u64,
    /// Were connected.
    pub joined: u64,
}

/// Everything about a load; see the fields of its JSON form in the README.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Those who send.
    pub publishers: Side,
    /// Those who receive.
    pub players: Side,
    /// Clients connected per second, from the first that began to the last that was connected.
    pub joins_per_second: f64,
    /// From a user's decision to media.
    pub join: Histogram,
    /// The part of it that is the HTTP request.
    pub signalling: Histogram,
    /// From a stamped frame's sending to its opening.
    pub delay: Histogram,
    /// The same of packets of video.
    pub video_delay: Histogram,
    /// What cameras sent, if there were any; `allowed` is the least that a server allowed one.
    pub cameras: Option<CameraStatistics>,
    /// What players saw, in all streams together, if there were any.
    pub videos: Option<VideoStatistics>,
    /// Jitter of each stream, when it ended (RFC 3550 §6.4.1).
    pub jitter: Histogram,
    /// RTP packets and bytes of payload sent.
    pub sent: (u64, u64),
    /// And received.
    pub received: (u64, u64),
    /// RTP packets lost on the way from the server (RFC 3550 A.3); negative when more arrived than were sent.
    pub lost: i64,
    /// Holes in sequence numbers, packets out of order, packets twice.
    pub gaps: u64,
    /// Came after one with a higher number.
    pub reordered: u64,
    /// Came twice.
    pub duplicates: u64,
    /// Did not open, or were not what they should be.
    pub refused: u64,
    /// Of SSRCs the server had not announced.
    pub unannounced: u64,
    /// Voice frames that this process sent too late: when there are many, it measured itself.
    pub late_frames: u64,
    /// Errors of sockets.
    pub socket_errors: u64,
    /// The fewest and the most contributing sources that a player heard.
    pub heard: Option<(usize, usize)>,
    /// Clients that failed, by reason.
    pub failures: BTreeMap<String, u64>,
}

impl Report {
    /// Add a client that had a session.
    pub fn add(&mut self, outcome: &Outcome, publishes: bool) {
        let statistics = &outcome.statistics;
        let side = if publishes { &mut self.publishers } else { &mut self.players };
        if let Some(joined) = outcome.joined {
            side.joined += 1;
            self.join.record(joined);
        }
        if let Some(failure) = outcome.failure {
            self.fail(failure.to_string());
        }
        self.sent.0 += statistics.sent_packets;
        self.sent.1 += statistics.sent_bytes;
        if let Some(camera) = &statistics.camera {
            self.sent.0 += camera.packets;
            self.sent.1 += camera.bytes;
            self.cameras.get_or_insert_default().merge(camera);
        }
        for video in &statistics.videos {
            self.videos.get_or_insert_default().merge(video);
        }
        for stream in &statistics.streams {
            self.received.0 += stream.packets;
            self.received.1 += stream.bytes;
            self.lost += stream.lost;
            self.gaps += stream.gaps;
            self.reordered += stream.reordered;
            self.jitter.record(Duration::from_secs_f32(stream.jitter.max(0.0)));
        }
        self.duplicates += statistics.duplicates;
        self.refused += statistics.refused;
        self.unannounced += statistics.unannounced;
        self.late_frames += statistics.late_frames;
        self.socket_errors += outcome.socket_errors;
        if !publishes && outcome.joined.is_some() {
            let count = statistics.csrcs.len();
            let (fewest, most) = self.heard.unwrap_or((count, count));
            self.heard = Some((fewest.min(count), most.max(count)));
        }
    }

    /// Count a failure, for a reason in words.
    pub fn fail(&mut self, reason: String) {
        *self.failures.entry(reason).or_default() += 1;
    }

    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Lost, of all that should have arrived.
    pub fn loss(&self) -> f64 {
        let expected = self.received.0 as i64 + self.lost;
        if expected > 0 { self.lost as f64 / expected as f64 } else { 0.0 }
    }

    /// One object; times are in milliseconds.
    pub fn to_json(&self) -> Value {
        let side = |side: &Side| json!({ "asked": side.asked, "joined": side.joined });
        json!({
            "publishers": side(&self.publishers),
            "players": side(&self.players),
            "failed": self.failed(),
            "failures": self.failures,
            "joins_per_s": round(self.joins_per_second),
            "join_ms": quantiles(&self.join),
            "signalling_ms": quantiles(&self.signalling),
            "packets_sent": self.sent.0,
            "bytes_sent": self.sent.1,
            "packets_received": self.received.0,
            "bytes_received": self.received.1,
            "lost": self.lost,
            "loss": self.loss(),
            "gaps": self.gaps,
            "reordered": self.reordered,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "unannounced": self.unannounced,
            "jitter_ms": quantiles(&self.jitter),
            "delay_ms": quantiles(&self.delay),
            "sources_heard": self.heard.map(|(fewest, most)| json!({ "fewest": fewest, "most": most })),
            "video_sent": self.cameras.as_ref().map(sent_video),
            "video_seen": self.videos.as_ref().map(seen_video),
            "video_delay_ms": quantiles(&self.video_delay),
            "late_frames": self.late_frames,
            "socket_errors": self.socket_errors,
        })
    }
}

impl fmt::Display for Report {
    /// A table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22}{value}");
        row("publishers", format!("{} of {} joined", self.publishers.joined, self.publishers.asked))?;
        row("players", format!("{} of {} joined", self.players.joined, self.players.asked))?;
        row("joins", format!("{:.1} per second", self.joins_per_second))?;
        row("time to join", line(&self.join))?;
        row("  of it signalling", line(&self.signalling))?;
        row("packets sent", self.sent.0.to_string())?;
        row("packets received", self.received.0.to_string())?;
        row("lost", format!("{} ({:.3} %), in {} gaps", self.lost, self.loss() * 100.0, self.gaps))?;
        row("out of order, twice", format!("{}, {}", self.reordered, self.duplicates))?;
        row("jitter of streams", line(&self.jitter))?;
        row("delay, one way", line(&self.delay))?;
        if let Some((fewest, most)) = self.heard {
            row("voices a player heard", format!("{fewest} to {most}"))?;
        }
        if let Some(sent) = &self.cameras {
            row("video frames sent", format!("{}, {} key frames", sent.frames, sent.key_frames))?;
            row("  asked of senders", format!("{} key frames, {} packets again", sent.asked, sent.nacked))?;
        }
        if let Some(seen) = &self.videos {
            let encodings = seen.frames.map(|frames| frames.to_string()).join(" + ");
            row("video frames seen", format!("{encodings}, {} undecodable", seen.undecodable))?;
            row("  wrongly cut", format!("{}, with {} jumps of numbers", seen.miscut, seen.jumps))?;
            row("  switches of layers", seen.switches.to_string())?;
            row("  freezes", format!("{}, {:.1} s in all", seen.freezes, seen.frozen.as_secs_f64()))?;
            let mean = milliseconds(seen.mean_repair().unwrap_or_default());
            row("  packets repaired", format!("{} of {}, after {mean} ms", seen.repaired, seen.nacked))?;
            row("  key frames asked for", seen.asked.to_string())?;
            row("delay of video", line(&self.video_delay))?;
        }
        for (what, count) in [
            ("packets refused", self.refused),
            ("of unknown streams", self.unannounced),
            ("frames sent late", self.late_frames),
            ("socket errors", self.socket_errors),
        ] {
            if count > 0 {
                row(what, count.to_string())?;
            }
        }
        row("failed", self.failed().to_string())?;
        for (reason, count) in &self.failures {
            row("", format!("{count} × {reason}"))?;
        }
        Ok(())
    }
}

fn sent_video(sent: &CameraStatistics) -> Value {
    json!({
        "frames": sent.frames,
        "key_frames": sent.key_frames,
        "packets": sent.packets,
        "bytes": sent.bytes,
        "asked": sent.asked,
        "nacked": sent.nacked,
        "repaired": sent.repaired,
        "unknown": sent.unknown,
        "feedback": sent.feedback,
        "late_frames": sent.late_frames,
        "allowed_bits_per_s": sent.allowed,
    })
}

fn seen_video(seen: &VideoStatistics) -> Value {
    json!({
        "packets": seen.packets,
        "bytes": seen.bytes,
        "frames": seen.frames,
        "key_frames": seen.key_frames,
        "undecodable": seen.undecodable,
        "miscut": seen.miscut,
        "switches": seen.switches,
        "changes": seen.changes,
        "freezes": seen.freezes,
        "frozen_ms": milliseconds(seen.frozen),
        "longest_ms": milliseconds(seen.longest),
        "holes": seen.holes,
        "jumps": seen.jumps,
        "nacked": seen.nacked,
        "repaired": seen.repaired,
        "repair_ms": seen.mean_repair().map(milliseconds),
        "needless": seen.needless,
        "asked": seen.asked,
    })
}

fn milliseconds(duration: Duration) -> f64 {
    round(duration.as_secs_f64() * 1000.0)
}

/// To a thousandth.
fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn quantiles(histogram: &Histogram) -> Value {
    if histogram.count() == 0 {
        return Value::Null;
    }
    let at = |part| milliseconds(histogram.quantile(part));
    let max = milliseconds(histogram.max());
    json!({ "count": histogram.count(), "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": max })
}

fn line(histogram: &Histogram) -> String {
    if histogram.count() == 0 {
        return "-".to_owned();
    }
    let at = |part| milliseconds(histogram.quantile(part));
    format!(
        "p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, at most {:.3} ms",
        at(0.5),
        at(0.99),
        at(0.999),
        milliseconds(histogram.max())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, Statistics, StreamStatistics};

    #[test]
    fn what_clients_counted_is_added_up() {
        let mut report = Report::default();
        let stream = StreamStatistics { packets: 90, lost: 10, gaps: 2, ..StreamStatistics::default() };
        let heard = |csrcs: &[u32]| Statistics {
            streams: vec![stream.clone()],
            csrcs: csrcs.to_vec(),
            ..Statistics::default()
        };
        let outcome = |number, joined: Option<u64>, failure, statistics| Outcome {
            number,
            joined: joined.map(Duration::from_millis),
            failure,
            socket_errors: 0,
            statistics,
        };
        report.add(&outcome(0, Some(10), None, heard(&[1, 2])), false);
        report.add(&outcome(1, Some(20), Some(Failure::Closed), heard(&[1])), false);
        report.add(&outcome(2, None, Some(Failure::Refused(401)), Statistics::default()), true);
        report.fail("http 503".into());
        assert_eq!((report.players.joined, report.publishers.joined), (2, 0));
        assert_eq!((report.received.0, report.lost, report.gaps), (180, 20, 4));
        assert!((report.loss() - 0.1).abs() < 1e-9);
        assert_eq!(report.heard, Some((1, 2)));
        assert_eq!(report.failed(), 3);
        let json = report.to_json();
        assert_eq!(json["failures"]["ice: error 401"], 1);
        assert_eq!(json["join_ms"]["max"], 20.0);
        assert_eq!(json["delay_ms"], Value::Null);
        assert!(report.to_string().contains("1 × http 503"));
    }
}
