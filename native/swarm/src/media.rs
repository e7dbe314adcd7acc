//! What there is once there are keys: streams both ways, reports and feedback.

use std::time::{Duration, Instant};

use sfu::{
    MAX_DATAGRAM,
    drops::Drop,
    rtcp::{self, ReportBlock},
    srtp::{Inbound, Outbound},
};

use crate::{
    Clock, Devices, Material, Output, Packet, Random, Session, Statistics,
    dtls::Secrets,
    listener::{AUDIO_RATE, Listener},
    publisher::Publisher,
    video::{self, CameraSender, Viewer},
};

/// Between two reports, times 0.5 to 1.5 (RFC 3550 §6.3.5).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// RFC 3550 §6.4.1: what the count field of a report holds.
const MAX_BLOCKS: usize = 31;
/// Sender reports beside the first: so many fit a datagram with the blocks.
const MAX_SENDERS: usize = 8;
const NO_BLOCK: ReportBlock = ReportBlock {
    ssrc: 0,
    fraction_lost: 0,
    cumulative_lost: 0,
    highest_sequence: 0,
    jitter: 0,
    last_sender_report: 0,
    delay_since_last_sender_report: 0,
};

pub(crate) struct Media {
    clock: Clock,
    inbound: Inbound,
    outbound: Outbound,
    pub(crate) material: Material,
    publisher: Option<Publisher>,
    camera: Option<CameraSender>,
    listener: Listener,
    viewer: Option<Viewer>,
    /// On which the server sends voices.
    slots: Vec<u32>,
    random: Random,
    next_report: Instant,
    /// Of our reports: a source's, or a random one (RFC 3550 §6.1).
    ssrc: u32,
    /// RFC 7022: nobody else's, and saying nothing.
    cname: String,
    duplicates: u64,
    refused: u64,
    unannounced: u64,
    reports: u64,
    reported_lost: Option<i32>,
}

impl Media {
    /// None when the secrets are of a wrong length.
    pub(crate) fn begin(
        now: Instant,
        clock: Clock,
        session: &Session,
        devices: Devices,
        secrets: Secrets,
        mut random: Random,
    ) -> Option<Media> {
        let source = session.source.zip(devices.microphone);
        let publisher = source.map(|(source, device)| Publisher::new(source, device, clock, &mut random, now));
        let filmed = session.video.as_ref().zip(devices.camera);
        let camera = filmed.and_then(|(video, device)| CameraSender::new(video, device, clock, &mut random, now));
        let ssrc = publisher.as_ref().map(Publisher::ssrc);
        let ssrc = ssrc.or_else(|| camera.as_ref().and_then(CameraSender::first_ssrc));
        Some(Media {
            clock,
            inbound: Inbound::new(&secrets.theirs.master_key()?),
            outbound: Outbound::new(&secrets.ours.master_key()?),
            material: secrets.theirs,
            ssrc: ssrc.unwrap_or_else(|| random.number() as u32),
            publisher,
            camera,
            listener: Listener::default(),
            viewer: session.video.clone().map(Viewer::new),
            slots: session.slots.clone(),
            next_report: now + REPORT_INTERVAL.mul_f64(0.5 + random.fraction()),
            cname: random.ice_chars(16),
            random,
            duplicates: 0,
            refused: 0,
            unannounced: 0,
            reports: 0,
            reported_lost: None,
        })
    }

    pub(crate) fn due(&self) -> Instant {
        let sources = self.publisher.as_ref().map(Publisher::due).into_iter();
        let sources = sources.chain(self.camera.as_ref().map(CameraSender::due));
        sources.chain(self.viewer.as_ref().and_then(Viewer::due)).fold(self.next_report, Instant::min)
    }

    /// Do what is due; `round_trip` is the path's.
    pub(crate) fn poll(&mut self, now: Instant, round_trip: Option<Duration>, out: &mut impl Output) {
        if let Some(publisher) = &mut self.publisher {
            publisher.poll(now, &self.outbound, out);
        }
        if let Some(camera) = &mut self.camera {
            camera.poll(now, &self.outbound, out);
        }
        if let Some(viewer) = &mut self.viewer {
            viewer.poll(now, round_trip, self.ssrc, &mut self.outbound, out);
        }
        if self.next_report <= now {
            self.report(now, false, out);
            self.next_report = now + REPORT_INTERVAL.mul_f64(0.5 + self.random.fraction());
        }
    }

    pub(crate) fn receive_rtp(&mut self, now: Instant, datagram: &mut [u8], out: &mut impl Output) {
        let opened = match self.inbound.unprotect(datagram) {
            Ok(opened) => opened,
            Err(Drop::Replay) => {
                self.duplicates += 1;
                return;
            }
            Err(_) => {
                self.refused += 1;
                return;
            }
        };
        let packet = &datagram[..opened.len];
        let header = &opened.header;
        let Ok(length) = header.payload_len(packet) else {
            self.refused += 1;
            return;
        };
        let mut heard = Packet {
            ssrc: header.ssrc,
            csrc: header.csrcs(packet).next(),
            payload_type: header.payload_type,
            index: opened.index,
            timestamp: header.timestamp,
            payload: &packet[header.len..][..length],
        };
        let viewer = self.viewer.as_mut().filter(|viewer| viewer.takes(header));
        let is_announced = match &viewer {
            Some(viewer) => viewer.announced(header.ssrc),
            None => self.slots.contains(&header.ssrc),
        };
        self.unannounced += u64::from(!is_announced);
        let rate = if viewer.is_some() { video::CLOCK_RATE } else { AUDIO_RATE };
        self.listener.received(now, &self.clock, rate, &opened, length);
        if let Some(viewer) = viewer {
            let arrival = self.clock.elapsed(now);
            let Some(seen) = viewer.received(now, arrival, header, opened.index, packet, length) else { return };
            (heard.ssrc, heard.index, heard.payload) = (seen.ssrc, seen.index, &heard.payload[seen.before..]);
        }
        if let Some(csrc) = heard.csrc {
            self.listener.heard(csrc);
        }
        out.heard(&heard);
    }

    pub(crate) fn receive_rtcp(&mut self, now: Instant, datagram: &mut [u8], out: &mut impl Output) {
        let Ok(length) = self.inbound.unprotect_rtcp(datagram) else {
            self.refused += 1;
            return;
        };
        self.reports += 1;
        for packet in rtcp::packets(&datagram[..length]).flatten() {
            if let Some(camera) = &mut self.camera {
                video::requests(&packet, |request| camera.requested(request, &self.outbound, out));
            }
            let blocks = match packet {
                rtcp::Packet::SenderReport { ssrc, info, blocks } => {
                    self.listener.sender_report(now, &self.clock, ssrc, &info);
                    blocks
                }
                rtcp::Packet::ReceiverReport { blocks, .. } => blocks,
                _ => continue,
            };
            for block in blocks {
                if block.ssrc == self.ssrc {
                    self.reported_lost = Some(block.cumulative_lost);
                }
                if let Some(camera) = &mut self.camera {
                    camera.reported(block.ssrc);
                }
            }
        }
    }

    /// Sender reports or a receiver report, and our CNAME; at the end a BYE (RFC 3550 §6.1, §6.6).
    pub(crate) fn report(&mut self, now: Instant, is_last: bool, out: &mut impl Output) {
        let mut blocks = [NO_BLOCK; MAX_BLOCKS];
        let count = self.listener.report(now, &self.clock, &mut blocks);
        let mut blocks = &blocks[..count];
        let voice = self.publisher.as_ref();
        let voice = voice.and_then(|voice| Some((voice.ssrc(), voice.sender_info(now)?)));
        let films = self.camera.iter().flat_map(|camera| camera.sender_infos(now));
        let senders = voice.into_iter().chain(films).take(MAX_SENDERS);
        let mut compound = [0; MAX_DATAGRAM];
        let mut writer = rtcp::Writer::new(&mut compound);
        let mut ssrcs = [0; MAX_SENDERS];
        let mut sending = 0;
        let mut written = Ok(());
        for (ssrc, info) in senders {
            written = written.and_then(|()| writer.sender_report(ssrc, info, std::mem::take(&mut blocks)));
            ssrcs[sending] = ssrc;
            sending += 1;
        }
        if sending == 0 {
            written = writer.receiver_report(self.ssrc, blocks);
            (ssrcs[0], sending) = (self.ssrc, 1);
        }
        let ssrcs = &ssrcs[..sending];
        for ssrc in ssrcs {
            written = written.and_then(|()| writer.sdes_cname(*ssrc, &self.cname));
        }
        written = written.and_then(|()| if is_last { writer.bye(ssrcs) } else { Ok(()) });
        debug_assert!(written.is_ok(), "31 blocks, eight senders and their names fit");
        let length = writer.finish();
        let sealed = self.outbound.protect_rtcp(&mut compound, length);
        if sealed > 0 {
            out.send(&compound[..sealed]);
        }
    }

    pub(crate) fn forget_every(&mut self, packets: Option<u64>) {
        if let Some(viewer) = &mut self.viewer {
            viewer.forget_every(packets);
        }
    }

    /// RTP packets sent and received so far.
    pub(crate) fn packets(&self) -> (u64, u64) {
        let voice = self.publisher.as_ref().map_or(0, |publisher| publisher.packets);
        let film = self.camera.as_ref().map_or(0, |camera| camera.statistics().packets);
        (voice + film, self.listener.packets())
    }

    /// Enter what was counted here.
    pub(crate) fn count(&self, statistics: &mut Statistics) {
        if let Some(publisher) = &self.publisher {
            statistics.sent_packets = publisher.packets;
            statistics.sent_bytes = publisher.octets;
            statistics.late_frames = publisher.late;
        }
        statistics.camera = self.camera.as_ref().map(CameraSender::statistics);
        statistics.videos = self.viewer.as_ref().map(Viewer::statistics).unwrap_or_default();
        statistics.streams = self.listener.streams();
        statistics.csrcs = self.listener.csrcs();
        statistics.duplicates = self.duplicates;
        statistics.refused += self.refused;
        statistics.unannounced = self.unannounced;
        statistics.reports = self.reports;
        statistics.reported_lost = self.reported_lost;
    }
}
