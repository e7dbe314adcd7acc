//! STUN: the input as a message, and as the attributes of one whose length, integrity and fingerprint are right.
#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use hmac::{Hmac, Mac};
use sfu::stun::{IntegrityKey, Message, binding_error, binding_success};
use sha1::Sha1;

const PASSWORD: &str = "a fixed password";
static KEY: LazyLock<IntegrityKey> = LazyLock::new(|| IntegrityKey::short_term(PASSWORD));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    read(data);
    if let Some((kind, attributes)) = data.split_first_chunk::<2>() {
        let whole = attributes.len() / 4 * 4;
        read(&signed(*kind, &attributes[..whole.min(4096)]));
    }
});

fn read(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let _ = (message.class(), message.method(), message.username(), message.use_candidate(), message.priority());
    let _ = (message.controlling(), message.controlled(), message.error_code());
    let unknown: Vec<u16> = message.unknown_required().take(4).collect();
    let id = message.transaction_id();
    let mapped = message.xor_mapped_address();
    if !message.verify(&KEY) {
        return;
    }
    // Answers are whole messages, and say what they were told to.
    let mut out = [0; 256];
    let mapped = mapped.unwrap_or_else(|| SocketAddr::from(([192, 0, 2, 1], 9)));
    let len = binding_success(&mut out, id, mapped, &KEY);
    let answer = Message::parse(&out[..len]).expect("our own message");
    assert!(answer.verify(&KEY) && answer.transaction_id() == id);
    assert_eq!(answer.xor_mapped_address(), Some(mapped));
    let len = binding_error(&mut out, id, 420, "Unknown Attribute", &unknown, Some(&KEY));
    let answer = Message::parse(&out[..len]).expect("our own message");
    assert!(answer.verify(&KEY) && answer.error_code() == Some(420));
}

fn signed(kind: [u8; 2], attributes: &[u8]) -> Vec<u8> {
    let mut message = vec![kind[0] & 0x3F, kind[1], 0, 0, 0x21, 0x12, 0xA4, 0x42];
    message.extend([7; 12]);
    message.extend(attributes);
    length(&mut message, 24);
    let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(PASSWORD.as_bytes()).expect("any length will do");
    mac.update(&message);
    message.extend([0, 0x08, 0, 20]);
    message.extend(mac.finalize().into_bytes());
    length(&mut message, 8);
    let crc = crc32fast::hash(&message) ^ 0x5354_554E;
    message.extend([0x80, 0x28, 0, 4]);
    message.extend(crc.to_be_bytes());
    message
}

fn length(message: &mut [u8], more: usize) {
    let length = (message.len() - 20 + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}
