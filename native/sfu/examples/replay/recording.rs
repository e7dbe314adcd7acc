//! Recordings, as `tests/recordings/recording.py` writes them.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sfu::video::Codec;
use sfu::{Extensions, VideoCodec};

/// A packet as it was recorded.
pub struct Packet {
    pub at: Duration,
    pub rtcp: bool,
    pub data: Vec<u8>,
}

pub struct Recording {
    pub codec: VideoCodec,
    pub extensions: Extensions,
    /// Smallest first.
    pub rids: Vec<String>,
    /// Of media and repair, smallest first.
    pub ssrcs: Vec<(u32, Option<u32>)>,
    pub packets: Vec<Packet>,
}

type Failure = Box<dyn std::error::Error>;

/// `description` is the JSON file; the packets are beside it.
pub fn load(description: &Path) -> Result<Recording, Failure> {
    let head: Value = serde_json::from_slice(&std::fs::read(description)?)?;
    let number = |value: &Value| value.as_u64();
    let id = |name: &str| number(&head["extensions"][name]).map(|id| id as u8);
    let codec = match head["codec"].as_str() {
        Some("vp8") => Codec::Vp8,
        Some("vp9") => Codec::Vp9,
        Some("h264") => Codec::H264,
        Some("av1") => Codec::Av1,
        _ => return Err("no such codec".into()),
    };
    let encodings = head["encodings"].as_array().ok_or("no encodings")?;
    Ok(Recording {
        codec: VideoCodec {
            codec,
            payload_type: number(&head["payload_type"]).ok_or("no payload type")? as u8,
            rtx_payload_type: number(&head["rtx_payload_type"]).map(|payload_type| payload_type as u8),
        },
        extensions: Extensions {
            mid: id("mid"),
            rid: id("rid"),
            repaired_rid: id("repaired_rid"),
            transport_cc: id("transport_cc"),
            abs_capture_time: id("abs_capture_time"),
            playout_delay: id("playout_delay"),
            video_layers_allocation: id("video_layers_allocation"),
            dependency_descriptor: id("dependency_descriptor"),
            video_orientation: id("video_orientation"),
        },
        rids: encodings.iter().filter_map(|each| each["rid"].as_str().map(str::to_owned)).collect(),
        ssrcs: encodings
            .iter()
            .filter_map(|each| Some((number(&each["ssrc"])? as u32, number(&each["rtx_ssrc"]).map(|ssrc| ssrc as u32))))
            .collect(),
        packets: parse(&std::fs::read(description.with_extension("rtpdump"))?)?,
    })
}

/// rtpdump (rtptools): a line of text, 16 bytes, and for each packet its length and time before it.
fn parse(content: &[u8]) -> Result<Vec<Packet>, Failure> {
    let line = content.iter().position(|byte| *byte == b'\n').ok_or("no rtpdump")?;
    let mut rest = content.get(line + 17..).ok_or("no rtpdump")?;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let &[a, b, c, d, e, f, g, h] = rest.first_chunk().ok_or("the file ends within a packet")?;
        let len = usize::from(u16::from_be_bytes([a, b]));
        packets.push(Packet {
            at: Duration::from_millis(u32::from_be_bytes([e, f, g, h]).into()),
            rtcp: [c, d] == [0, 0],
            data: rest.get(8..len).ok_or("the file ends within a packet")?.to_vec(),
        });
        rest = &rest[len..];
    }
    Ok(packets)
}

/// The same, of RTP that came at `at`.
pub fn dump<'a>(packets: impl Iterator<Item = (Duration, &'a [u8])>) -> Vec<u8> {
    let mut out = b"#!rtpplay1.0 127.0.0.1/5004\n".to_vec();
    out.extend([0; 16]);
    for (at, data) in packets {
        out.extend((data.len() as u16 + 8).to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend((at.as_millis() as u32).to_be_bytes());
        out.extend(data);
    }
    out
}
