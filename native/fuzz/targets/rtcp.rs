//! RTCP: anything is read without a panic, and what was read is written and read again as the same.
#![no_main]

use sfu::rtcp::{Packet, Writer, packets};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut out = [0; 4096];
    let mut writer = Writer::new(&mut out);
    let mut expected = Vec::new();
    for packet in packets(data) {
        let written = match &packet {
            Err(_) => continue,
            Ok(Packet::SenderReport { ssrc, info, blocks }) => {
                writer.sender_report(*ssrc, *info, &blocks.clone().collect::<Vec<_>>())
            }
            Ok(Packet::ReceiverReport { ssrc, blocks }) => {
                writer.receiver_report(*ssrc, &blocks.clone().collect::<Vec<_>>())
            }
            Ok(Packet::Sdes { ssrc, cname: Some(cname) }) => match std::str::from_utf8(cname) {
                Ok(cname) => writer.sdes_cname(*ssrc, cname),
                Err(_) => continue,
            },
            Ok(Packet::Bye { ssrcs }) => writer.bye(&ssrcs.clone().collect::<Vec<_>>()),
            Ok(Packet::Sdes { .. } | Packet::Feedback { .. } | Packet::Other { .. }) => continue,
        };
        if written.is_ok() {
            expected.push(packet);
        }
    }
    let len = writer.finish();
    let read: Vec<_> = packets(&out[..len]).collect();
    assert_eq!(format!("{read:?}"), format!("{expected:?}"));
});
