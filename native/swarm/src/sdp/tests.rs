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
