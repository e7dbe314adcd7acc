//! RFC 5769: test vectors for STUN with short-term credentials.

use sfu::drops::Drop;
use sfu::stun::{Class, IntegrityKey, Message};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: [u8; 12] = [0xB7, 0xE7, 0xA7, 0x01, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE];

/// A file of `tests/vectors`: hexadecimal, with `#` comments.
fn vector(text: &str) -> Vec<u8> {
    let digits: String = text.lines().map(|line| line.split('#').next().unwrap_or_default()).collect();
    let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn request() -> Vec<u8> {
    vector(include_str!("../../../tests/vectors/rfc5769_2_1_request.hex"))
}

fn responses() -> [(Vec<u8>, &'static str); 2] {
    [
        (vector(include_str!("../../../tests/vectors/rfc5769_2_2_response_ipv4.hex")), "192.0.2.1:32853"),
        (
            vector(include_str!("../../../tests/vectors/rfc5769_2_3_response_ipv6.hex")),
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ),
    ]
}

#[test]
fn the_sample_request_of_rfc_5769_2_1_is_read_and_verified() {
    let bytes = request();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, 1));
    assert_eq!(message.transaction_id(), TRANSACTION);
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.priority(), Some(0x6E00_01FF));
    assert!(message.controlled() && !message.controlling() && !message.use_candidate());
    assert_eq!(message.unknown_required().count(), 0);
    assert!(message.verify(&IntegrityKey::short_term(PASSWORD)));
    assert!(!message.verify(&IntegrityKey::short_term("VOkJxbRl1RmTxUk/WvJxBT")));
}

#[test]
fn the_sample_responses_of_rfc_5769_2_2_and_2_3_are_read_and_verified() {
    for (bytes, mapped) in responses() {
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Success, 1));
        assert_eq!(message.transaction_id(), TRANSACTION);
        assert_eq!(message.xor_mapped_address(), Some(mapped.parse().unwrap()));
        assert!(message.verify(&IntegrityKey::short_term(PASSWORD)));
    }
}

#[test]
fn a_sample_changed_in_any_bit_does_not_pass() {
    let key = IntegrityKey::short_term(PASSWORD);
    for bytes in [request()].into_iter().chain(responses().map(|(bytes, _)| bytes)) {
        // But in the type of FINGERPRINT: it is optional, and what else follows MESSAGE-INTEGRITY is ignored.
        let fingerprint = bytes.len() - 8;
        for bit in (0..fingerprint * 8).chain(fingerprint * 8 + 16..bytes.len() * 8) {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let passes = Message::parse(&changed).is_ok_and(|message| message.verify(&key));
            assert!(!passes, "bit {bit}");
        }
    }
}

#[test]
fn a_sample_cut_or_lengthened_anywhere_is_refused() {
    let bytes = request();
    for len in 0..bytes.len() {
        assert_eq!(Message::parse(&bytes[..len]).unwrap_err(), Drop::Short, "at {len}");
    }
    let mut longer = bytes;
    longer.extend([0; 4]);
    assert_eq!(Message::parse(&longer).unwrap_err(), Drop::Malformed);
}

/// What the crate writes itself is what the samples look like.
#[test]
fn our_success_response_carries_the_address_of_the_samples() {
    let key = IntegrityKey::short_term(PASSWORD);
    for (sample, mapped) in responses() {
        let mut out = [0; 100];
        let len = sfu::stun::binding_success(&mut out, TRANSACTION, mapped.parse().unwrap(), &key);
        let ours = Message::parse(&out[..len]).unwrap();
        assert!(ours.verify(&key));
        let attribute = if sample.len() == 80 { &sample[36..48] } else { &sample[36..60] };
        assert_eq!(&out[20..20 + attribute.len()], attribute);
    }
}
