//! Video: a camera that sends synthetic VP8 in several encodings, and a viewer who knows what a decoder would make of it.

mod camera;
mod encoding;
mod feedback;
mod frames;
mod repair;
mod rtp;
mod stamp;
mod statistics;
mod stream;
mod transport;
mod viewer;
mod vp8;

pub(crate) use camera::CameraSender;
pub use encoding::Encoding;
pub(crate) use feedback::requests;
pub use stamp::VideoStamp;
pub use statistics::{CameraStatistics, VideoStatistics};
pub(crate) use viewer::Viewer;

use crate::{Random, session};

/// RTP's clock of video (RFC 7741 §4.1), in Hz.
pub(crate) const CLOCK_RATE: u32 = 90_000;

/// What a client with a video source sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// The smallest first, as many as were offered.
    pub encodings: Vec<Encoding>,
    /// Frames a second, from 1 on.
    pub frame_rate: u32,
    /// A key frame that is asked for is sent now and not in the place of the next frame, as no encoder would.
    pub key_frames_at_once: bool,
    /// Of the stamps: run and sender.
    pub stamp: (u32, u32),
}

impl Camera {
    /// Three encodings of 150 kb/s, 500 kb/s and 1.85 Mb/s at 30 frames a second: what browsers send of a 720p camera.
    pub fn simulcast(stamp: (u32, u32)) -> Camera {
        let encodings = vec![
            Encoding { bitrate: 150_000, width: 320, height: 180 },
            Encoding { bitrate: 500_000, width: 640, height: 360 },
            Encoding { bitrate: 1_850_000, width: 1280, height: 720 },
        ];
        Camera { encodings, frame_rate: 30, key_frames_at_once: false, stamp }
    }

    /// The largest of these alone.
    pub fn single(bitrate: u32, stamp: (u32, u32)) -> Camera {
        let encodings = vec![Encoding { bitrate, width: 1280, height: 720 }];
        Camera { encodings, ..Camera::simulcast(stamp) }
    }

    /// Streams to be offered: with RIDs `q`, `h`, `f` (and then numbers) when there are several.
    pub fn streams(&self, random: &mut Random) -> Vec<session::VideoStream> {
        let rid = |number: usize| match number {
            0..3 => ["q", "h", "f"][number].to_owned(),
            number => number.to_string(),
        };
        let is_simulcast = self.encodings.len() > 1;
        (0..self.encodings.len())
            .map(|number| session::VideoStream {
                encoding: number,
                rid: is_simulcast.then(|| rid(number)),
                ssrc: random.number() as u32 | 1,
                rtx_ssrc: Some(random.number() as u32 & !1),
            })
            .collect()
    }
}
