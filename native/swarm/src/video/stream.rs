//! One stream of packets that a camera sends, and what can be sent again of it.

use std::{collections::VecDeque, time::Duration};

use sfu::MAX_DATAGRAM;

use super::{
    VideoStamp,
    encoding::{Encoder, Encoding, Frame},
    rtp::{self, Fields, MAX_HEADER},
    vp8::{self, Descriptor},
};
use crate::{
    Random,
    session::{Extensions, VideoSource, VideoStream},
};

/// Bytes of payload: what browsers fit into a path of 1200 bytes.
const MAX_PAYLOAD: usize = 1140;
/// A packet that holds less would have no room for what it must have.
const MIN_PAYLOAD: usize = Descriptor::LENGTH + vp8::BEGINNING + VideoStamp::LENGTH;
/// Packets that can be sent again: over two seconds of 1.85 Mb/s.
const KEPT: usize = 512;
/// RFC 4588 §4: the original sequence number, before the payload.
const ORIGINAL: usize = 2;

const _: () = assert!(MAX_HEADER + ORIGINAL + MAX_PAYLOAD + 16 <= MAX_DATAGRAM);

/// A plaintext packet that is to be sealed and sent: its index (ROC and sequence number), the buffer with room for a tag, the
/// header's length and the packet's.
pub(crate) type Send<'a> = dyn FnMut(u64, &mut [u8; MAX_DATAGRAM], usize, usize) + 'a;

/// What all streams of a transport share.
pub(crate) struct Transport {
    pub mid: String,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    pub extensions: Extensions,
    /// The next transport-wide sequence number.
    pub sequence: u16,
}

impl Transport {
    fn count(&mut self) -> u16 {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        sequence
    }
}

/// From which a packet can be made again, byte by byte.
#[derive(Clone, Copy)]
struct Sent {
    index: u64,
    timestamp: u32,
    frame: Frame,
    part: u16,
    parts: u16,
    length: u16,
    at: Duration,
    transport: u16,
    named: bool,
}

pub(crate) struct Stream {
    pub settings: Encoding,
    pub ids: VideoStream,
    encoder: Encoder,
    stamp: (u32, u32),
    first_timestamp: u32,
    /// ROC and sequence number of the next packet.
    index: u64,
    rtx_index: u64,
    sent: VecDeque<Sent>,
    /// The next frame has to be a key frame.
    pub wants_key: bool,
    /// The receiver has reported on the stream: it knows what it is, and need not be told any more (RFC 8852 §3.3).
    pub is_known: bool,
    pub is_rtx_known: bool,
    pub packets: u64,
    pub bytes: u64,
}

impl Stream {
    pub fn new(settings: Encoding, ids: VideoStream, stamp: (u32, u32), random: &mut Random) -> Stream {
        Stream {
            settings,
            ids,
            encoder: Encoder::new(random.number()),
            stamp,
            first_timestamp: random.number() as u32,
            // RFC 3711 §3.3.1: low enough that no receiver takes it for a sequence number of before a rollover.
            index: random.number() & 0x7FFF,
            rtx_index: random.number() & 0x7FFF,
            sent: VecDeque::new(),
            wants_key: true,
            is_known: false,
            is_rtx_known: false,
            packets: 0,
            bytes: 0,
        }
    }

    /// Of a frame that was taken so long after the beginning.
    pub fn timestamp(&self, since: Duration) -> u32 {
        let ticks = since.as_nanos() * u128::from(super::CLOCK_RATE) / 1_000_000_000;
        self.first_timestamp.wrapping_add(ticks as u32)
    }

    /// Send the next frame, taken `since` the beginning; was it a key frame?
    pub fn send_frame(
        &mut self,
        transport: &mut Transport,
        frame_rate: u32,
        since: Duration,
        at: Duration,
        send: &mut Send<'_>,
    ) -> bool {
        let frame = self.encoder.encode(std::mem::take(&mut self.wants_key));
        let mean = f64::from(self.settings.bitrate) / 8.0 / f64::from(frame_rate.max(1));
        let size = frame.size(mean).max(MIN_PAYLOAD);
        let parts = size.div_ceil(MAX_PAYLOAD);
        for part in 0..parts {
            // As even as can be.
            let length = (size * (part + 1) / parts - size * part / parts).clamp(MIN_PAYLOAD, MAX_PAYLOAD);
            let sent = Sent {
                index: self.index,
                timestamp: self.timestamp(since),
                frame,
                part: part as u16,
                parts: parts as u16,
                length: length as u16,
                at,
                transport: transport.count(),
                named: !self.is_known,
            };
            self.index += 1;
            self.packets += 1;
            self.bytes += length as u64;
            if self.sent.len() == KEPT {
                self.sent.pop_front();
            }
            self.sent.push_back(sent);
            self.send(transport, &sent, send);
        }
        frame.is_key()
    }

    fn send(&self, transport: &Transport, sent: &Sent, send: &mut Send<'_>) {
        let fields = Fields {
            payload_type: transport.payload_type,
            marker: sent.part + 1 == sent.parts,
            sequence: sent.index as u16,
            timestamp: sent.timestamp,
            ssrc: self.ids.ssrc,
        };
        let mut packet = [0; MAX_DATAGRAM];
        let header = self.header(&mut packet, transport, fields, sent.transport, sent.named, transport.extensions.rid);
        self.payload(&mut packet[header..], sent);
        send(sent.index, &mut packet, header, header + usize::from(sent.length));
    }

    fn header(
        &self,
        packet: &mut [u8],
        transport: &Transport,
        fields: Fields,
        sequence: u16,
        named: bool,
        rid_extension: Option<u8>,
    ) -> usize {
        let ids = &transport.extensions;
        let mid = ids.mid.filter(|_| named).map(|id| (id, transport.mid.as_bytes()));
        let rid = rid_extension.filter(|_| named).zip(self.ids.rid.as_deref().map(str::as_bytes));
        let sequence = sequence.to_be_bytes();
        let wide = ids.transport_cc.map(|id| (id, &sequence[..]));
        rtp::write(packet, fields, mid.into_iter().chain(rid).chain(wide))
    }

    fn payload(&self, out: &mut [u8], sent: &Sent) {
        let is_first = sent.part == 0;
        Descriptor { begins: is_first, ..sent.frame.descriptor }.write(out);
        if is_first {
            let size = usize::from(sent.parts) * (usize::from(sent.length) - Descriptor::LENGTH);
            let Encoding { width, height, .. } = self.settings;
            vp8::begin_frame(&mut out[Descriptor::LENGTH..], sent.frame.is_key(), size, width, height);
        }
        let stamp = VideoStamp {
            run: self.stamp.0,
            sender: self.stamp.1,
            encoding: self.ids.encoding as u8,
            temporal: sent.frame.descriptor.temporal,
            frame: sent.frame.number,
            reference: sent.frame.reference,
            part: sent.part,
            parts: sent.parts,
            sent: sent.at,
        };
        stamp.write(&mut out[..usize::from(sent.length)]);
    }

    /// Send the packet with that sequence number again, if it was sent and is kept.
    pub fn repair(&mut self, transport: &mut Transport, sequence: u16, send: &mut Send<'_>) -> bool {
        let Some(sent) = self.sent.iter().rev().find(|sent| sent.index as u16 == sequence).copied() else {
            return false;
        };
        match (self.ids.rtx_ssrc, transport.rtx_payload_type) {
            (Some(ssrc), Some(payload_type)) => {
                let index = self.rtx_index;
                self.rtx_index += 1;
                let fields = Fields {
                    payload_type,
                    marker: sent.part + 1 == sent.parts,
                    sequence: index as u16,
                    timestamp: sent.timestamp,
                    ssrc,
                };
                let mut packet = [0; MAX_DATAGRAM];
                let wide = transport.count();
                let rid_extension = transport.extensions.repaired_rid;
                let header = self.header(&mut packet, transport, fields, wide, !self.is_rtx_known, rid_extension);
                packet[header..header + ORIGINAL].copy_from_slice(&(sent.index as u16).to_be_bytes());
                self.payload(&mut packet[header + ORIGINAL..], &sent);
                send(index, &mut packet, header, header + ORIGINAL + usize::from(sent.length));
            }
            // The same packet, to the byte: its key stream is used up.
            _ => self.send(transport, &sent, send),
        }
        true
    }
}

/// The streams of an agreed source, for the encodings of a camera that has them.
pub(crate) fn streams(source: &VideoSource, camera: &super::Camera, random: &mut Random) -> Vec<Stream> {
    let with_settings = |ids: &VideoStream| camera.encodings.get(ids.encoding).map(|settings| (*settings, ids.clone()));
    let agreed: Vec<_> = source.streams.iter().filter_map(with_settings).collect();
    agreed.into_iter().map(|(settings, ids)| Stream::new(settings, ids, camera.stamp, random)).collect()
}
