//! A camera: frames in step, key frames and repair when they are asked for.

use std::time::{Duration, Instant};

use sfu::{MAX_DATAGRAM, rtcp::SenderInfo, srtp::Outbound};

use super::{
    Camera, CameraStatistics,
    feedback::Request,
    stream::{Stream, Transport, streams},
};
use crate::{Clock, Output, Random, session::Video};

/// A frame that goes out so long after its time was delayed by us and not by anybody's network.
const LATE: Duration = Duration::from_millis(10);
/// Frames that are still caught up with; who is further behind leaves the rest out.
const MAX_BEHIND: u64 = 3;

pub(crate) struct CameraSender {
    camera: Camera,
    clock: Clock,
    transport: Transport,
    streams: Vec<Stream>,
    /// When frame 0 is due.
    began: Instant,
    /// The next.
    frame: u64,
    /// The last FIR's number, by stream (RFC 5104 §4.3.1.1: a repetition has the same).
    firs: Vec<Option<u8>>,
    statistics: CameraStatistics,
}

impl CameraSender {
    /// None when nothing of the camera was agreed on.
    pub fn new(video: &Video, camera: Camera, clock: Clock, random: &mut Random, now: Instant) -> Option<CameraSender> {
        let source = video.source.as_ref()?;
        let streams = streams(source, &camera, random);
        let frame = Duration::from_secs(1) / camera.frame_rate.max(1);
        (!streams.is_empty()).then(|| CameraSender {
            clock,
            transport: Transport {
                mid: source.mid.clone(),
                payload_type: video.payload_type,
                rtx_payload_type: video.rtx_payload_type,
                extensions: video.extensions,
                sequence: random.number() as u16,
            },
            firs: vec![None; streams.len()],
            streams,
            // Cameras are not in step with each other.
            began: now + frame.mul_f64(random.fraction()),
            frame: 0,
            statistics: CameraStatistics::default(),
            camera,
        })
    }

    pub fn due(&self) -> Instant {
        let asked = self.camera.key_frames_at_once && self.streams.iter().any(|stream| stream.wants_key);
        // Before the first frame everything waits for it.
        if asked && self.frame > 0 { self.began } else { self.at(self.frame) }
    }

    fn at(&self, frame: u64) -> Instant {
        self.began + Duration::from_nanos(frame * 1_000_000_000 / u64::from(self.camera.frame_rate.max(1)))
    }

    /// Send the frames that are due.
    pub fn poll(&mut self, now: Instant, srtp: &Outbound, out: &mut impl Output) {
        let mut behind = 0;
        while self.at(self.frame) <= now {
            let due = self.at(self.frame);
            self.frame += 1;
            behind += 1;
            self.statistics.late_frames += u64::from(behind > MAX_BEHIND || now - due > LATE);
            if behind <= MAX_BEHIND {
                self.send(now, due, |_| true, srtp, out);
            }
        }
        if self.camera.key_frames_at_once && self.frame > 0 {
            self.send(now, now, |stream| stream.wants_key, srtp, out);
        }
    }

    /// A frame of each stream that is `meant`, taken at `taken`.
    fn send(
        &mut self,
        now: Instant,
        taken: Instant,
        meant: impl Fn(&Stream) -> bool,
        srtp: &Outbound,
        out: &mut impl Output,
    ) {
        let (since, at) = (taken.saturating_duration_since(self.began), self.clock.elapsed(now));
        let rate = self.camera.frame_rate;
        for stream in self.streams.iter_mut().filter(|stream| meant(stream)) {
            let before = (stream.packets, stream.bytes);
            let is_key = stream.send_frame(&mut self.transport, rate, since, at, &mut sealer(srtp, out));
            self.statistics.frames += 1;
            self.statistics.key_frames += u64::from(is_key);
            self.statistics.packets += stream.packets - before.0;
            self.statistics.bytes += stream.bytes - before.1;
        }
    }

    /// Something that the receiver wants.
    pub fn requested(&mut self, request: Request<'_>, srtp: &Outbound, out: &mut impl Output) {
        match request {
            Request::Repair { ssrc, sequences } => {
                let Some(stream) = self.streams.iter_mut().find(|stream| stream.ids.ssrc == ssrc) else { return };
                for sequence in sequences {
                    let found = stream.repair(&mut self.transport, sequence, &mut sealer(srtp, out));
                    self.statistics.nacked += 1;
                    self.statistics.repaired += u64::from(found);
                    self.statistics.unknown += u64::from(!found);
                }
            }
            Request::KeyFrame { ssrc, command } => {
                let Some(at) = self.streams.iter().position(|stream| stream.ids.ssrc == ssrc) else { return };
                if command.is_some() && self.firs[at] == command {
                    return;
                }
                self.firs[at] = command.or(self.firs[at]);
                self.streams[at].wants_key = true;
                self.statistics.asked += 1;
            }
            Request::Arrivals => self.statistics.feedback += 1,
            Request::Limit { bitrate } => self.statistics.allowed = Some(bitrate),
        }
    }

    /// The receiver reports on the stream `ssrc`, so it knows it.
    pub fn reported(&mut self, ssrc: u32) {
        for stream in &mut self.streams {
            stream.is_known |= stream.ids.ssrc == ssrc;
            stream.is_rtx_known |= stream.ids.rtx_ssrc == Some(ssrc);
        }
    }

    /// For the next sender reports, by SSRC; of streams of which something was sent.
    pub fn sender_infos(&self, now: Instant) -> impl Iterator<Item = (u32, SenderInfo)> {
        let since = now.saturating_duration_since(self.began);
        let ntp = self.clock.ntp(now);
        self.streams.iter().filter(|stream| stream.packets > 0).map(move |stream| {
            let (packets, octets) = (stream.packets as u32, stream.bytes as u32);
            (stream.ids.ssrc, SenderInfo { ntp, rtp_timestamp: stream.timestamp(since), packets, octets })
        })
    }

    pub fn first_ssrc(&self) -> Option<u32> {
        self.streams.first().map(|stream| stream.ids.ssrc)
    }

    pub fn statistics(&self) -> CameraStatistics {
        self.statistics
    }
}

/// Seals what it is given, and sends it.
fn sealer<'a>(
    srtp: &'a Outbound,
    out: &'a mut impl Output,
) -> impl FnMut(u64, &mut [u8; MAX_DATAGRAM], usize, usize) + 'a {
    move |index, packet, header, length| {
        let sealed = srtp.protect(index, packet, header, length);
        out.send(&packet[..sealed]);
    }
}
