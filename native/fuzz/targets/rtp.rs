//! RTP headers: every part that is found lies inside the packet.
#![no_main]

use std::time::Duration;

use sfu::demux::{Kind, classify};
use sfu::rtp::{AudioLevel, Header, Reception, extend_sequence};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let kind = classify(data);
    if let Ok(header) = Header::parse(data) {
        assert!(matches!(kind, Kind::Rtp | Kind::Rtcp));
        assert!(header.len >= 12 && header.len <= data.len());
        assert_eq!(header.csrcs(data).count(), header.csrc_count);
        for id in 0..=255 {
            if let Some(value) = header.extension(data, id) {
                assert!(value.len() < header.len);
                let _ = AudioLevel::parse(value);
            }
        }
        if let Ok(len) = header.payload_len(data) {
            assert!(header.len + len <= data.len());
        }
    }
    // Twelve bytes a packet: sequence number, timestamp, arrival.
    let mut reception = Reception::new(48_000);
    let mut highest = 0;
    for each in data.chunks_exact(12) {
        let index = extend_sequence(highest, u16::from_be_bytes([each[0], each[1]]));
        highest = highest.max(index);
        let timestamp = u32::from_be_bytes([each[2], each[3], each[4], each[5]]);
        let arrival = u64::from_be_bytes([0, 0, each[6], each[7], each[8], each[9], each[10], each[11]]);
        reception.received(index, timestamp, Duration::from_micros(arrival));
        let block = reception.report_block(1, timestamp).expect("something has arrived");
        assert!((-0x80_0000..=0x7F_FFFF).contains(&block.cumulative_lost));
        assert!(reception.jitter().is_finite() && reception.jitter() >= 0.0);
    }
});
