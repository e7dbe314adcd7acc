use super::*;
use crate::Hash;

const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn offer(publishes: bool, slots: usize) -> Offer {
    Offer {
        local: Credentials { ufrag: "ours".into(), password: "our+password+of+22+chars".into() },
        fingerprint: [0xAB; 32],
        candidate: Some(([127, 0, 0, 1], 5000).into()),
        ssrc: publishes.then_some(7),
        slots,
        video: Vec::new(),
        video_slots: 0,
        session: 1,
    }
}

/// As the node of this project answers.
fn answer(media: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-lite\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:theirs\r\n\
         a=ice-pwd:their+password+of+22+chars\r\na=fingerprint:sha-256 {}\r\na=setup:passive\r\n\
         a=candidate:1 1 udp 2130706431 ::1 4000 typ host\r\na=candidate:2 1 udp 2130706175 127.0.0.1 4001 typ host\r\n\
         a=candidate:3 1 tcp 1671430143 127.0.0.1 4001 typ host tcptype passive\r\na=end-of-candidates\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=extmap:1 {AUDIO_LEVEL}\r\n{media}",
        colons(&[0xCD; 32])
    )
}

#[test]
fn an_answer_to_a_publisher_is_understood() {
    let session = offer(true, 0).agree(&answer("a=recvonly\r\n"), SERVER).unwrap();
    assert_eq!(session.remote, ([127, 0, 0, 1], 4001).into());
    assert_eq!(session.peer.ufrag, "theirs");
    assert_eq!(session.fingerprints, [Fingerprint { hash: Hash::Sha256, digest: vec![0xCD; 32] }]);
    assert!(session.opens_dtls);
    assert_eq!(session.source, Some(Source { ssrc: 7, payload_type: 111, level_extension: Some(1) }));
    assert!(session.slots.is_empty());
}

#[test]
fn an_answer_to_a_player_names_what_it_will_hear() {
    let session = offer(false, 1).agree(&answer("a=ssrc:99 cname:node\r\na=sendonly\r\n"), SERVER).unwrap();
    assert_eq!((session.source, session.slots), (None, vec![99]));
}

#[test]
fn the_candidate_of_the_servers_family_is_taken() {
    let session = offer(true, 0).agree(&answer("a=recvonly\r\n"), "::9".parse().unwrap()).unwrap();
    assert_eq!(session.remote.ip(), "::1".parse::<IpAddr>().unwrap());
}

#[test]
fn what_a_server_refuses_is_not_taken_for_granted() {
    let refuse = |text: String, slots| offer(slots == 0, slots).agree(&text, SERVER).unwrap_err();
    assert_eq!(refuse(answer("a=inactive\r\n"), 0), BadAnswer::Refused);
    assert_eq!(refuse(answer("a=recvonly\r\n"), 1), BadAnswer::Refused);
    assert_eq!(refuse(answer("a=recvonly\r\n").replace("audio 9", "audio 0"), 0), BadAnswer::Refused);
    assert_eq!(refuse(answer("").replace("sha-256", "sha-1"), 0), BadAnswer::Fingerprint);
    assert_eq!(refuse(answer("").replace(" udp ", " tcp "), 0), BadAnswer::Candidate);
    assert_eq!(refuse(answer("").replace("ice-pwd", "x"), 0), BadAnswer::Credentials);
    assert_eq!(refuse(answer(""), 2), BadAnswer::Malformed);
    assert_eq!(refuse("<html>".into(), 0), BadAnswer::Malformed);
}

#[test]
fn damaged_answers_never_panic() {
    let whole = answer("a=ssrc:99 cname:node\r\na=sendonly\r\n");
    for at in 0..whole.len() {
        let _ = offer(false, 1).agree(&whole[..at], SERVER);
        let mut damaged = whole.clone();
        damaged.replace_range(at..=at, " ");
        let _ = offer(false, 1).agree(&damaged, SERVER);
    }
}

#[test]
fn an_offer_has_an_m_line_for_each_stream() {
    let sdp = offer(true, 2).to_sdp();
    assert_eq!(sdp.matches("m=audio").count(), 3);
    assert_eq!(sdp.matches("a=recvonly").count(), 2);
    assert!(sdp.contains("a=group:BUNDLE 0 1 2\r\n") && sdp.contains("a=ssrc:7 cname:ours\r\n"));
    assert!(sdp.lines().all(|line| line.len() < 200));
}

fn film(count: usize) -> Vec<VideoStream> {
    let rid = |encoding: usize| (count > 1).then(|| ["q", "h", "f"][encoding].to_owned());
    let stream =
        |encoding| VideoStream { encoding, rid: rid(encoding), ssrc: 70 + encoding as u32, rtx_ssrc: Some(80) };
    (0..count).map(stream).collect()
}

/// An m-line of video in an answer.
fn video_answer(lines: &str) -> String {
    let head = answer("").split("m=audio").next().unwrap().to_owned();
    let media = answer("").split_once("m=audio").unwrap().1.replace("rtpmap:111 opus/48000/2", "rtpmap:120 VP8/90000");
    let media = media.replace(" 111", " 120 121");
    format!(
        "{head}m=video{media}a=rtpmap:121 rtx/90000\r\na=fmtp:121 apt=120\r\na=extmap:5 {TRANSPORT_CC}\r\n\
         a=extmap:6 {MID}\r\na=extmap:7 {RID}\r\n{lines}"
    )
}

#[test]
fn an_answer_to_a_simulcast_names_what_is_taken() {
    let this = Offer { ssrc: None, video: film(3), ..offer(true, 0) };
    let sdp = this.to_sdp();
    assert!(sdp.contains("a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n"), "{sdp}");
    assert!(!sdp.contains("a=ssrc") && sdp.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"), "{sdp}");
    let text = video_answer("a=rid:q recv\r\na=rid:f recv\r\na=simulcast:recv q,h;~h;f\r\na=recvonly\r\n");
    let video = this.agree(&text, SERVER).unwrap().video.unwrap();
    let source = video.source.unwrap();
    assert_eq!((source.mid.as_str(), &source.streams[..]), ("0", &[film(3)[0].clone(), film(3)[2].clone()][..]));
    assert_eq!((video.payload_type, video.rtx_payload_type), (120, Some(121)));
    let expected = Extensions { mid: Some(6), rid: Some(7), repaired_rid: None, transport_cc: Some(5) };
    assert_eq!(video.extensions, expected);
}

#[test]
fn a_server_that_knows_no_simulcast_gets_the_largest() {
    let this = Offer { ssrc: None, video: film(3), ..offer(true, 0) };
    let video = this.agree(&video_answer("a=recvonly\r\n"), SERVER).unwrap().video.unwrap();
    assert_eq!(video.source.unwrap().streams, [VideoStream { rid: None, ..film(3)[2].clone() }]);
}

#[test]
fn a_single_encoding_is_known_by_its_ssrcs() {
    let this = Offer { ssrc: None, video: film(1), ..offer(true, 0) };
    let sdp = this.to_sdp();
    assert!(sdp.contains("a=ssrc-group:FID 70 80\r\n") && !sdp.contains("simulcast"), "{sdp}");
    let video = this.agree(&video_answer("a=recvonly\r\n"), SERVER).unwrap().video.unwrap();
    assert_eq!(video.source.unwrap().streams, film(1));
}

#[test]
fn an_answer_to_a_viewer_names_streams_and_their_repair() {
    let this = Offer { slots: 0, video_slots: 1, ..offer(false, 0) };
    let lines = "a=ssrc-group:FID 5 6\r\na=ssrc:5 cname:x\r\na=ssrc:6 cname:x\r\na=sendonly\r\n";
    let video = this.agree(&video_answer(lines), SERVER).unwrap().video.unwrap();
    assert_eq!(video.slots, [VideoSlot { ssrc: 5, rtx_ssrc: Some(6) }]);
    let refused = video_answer(lines).replace("VP8", "H264");
    assert_eq!(this.agree(&refused, SERVER), Err(BadAnswer::Refused));
    for at in 0..refused.len() {
        let _ = this.agree(&refused[..at], SERVER);
    }
}
