//! Connectivity checks (RFC 8445 §7.1) built without the crate's own writer, so that the two are held against each other.

use hmac::{Hmac, Mac};
use sha1::Sha1;

const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();

/// A Binding request, right or wrong in the ways a test wants.
pub struct Check<'a> {
    pub transaction: [u8; 12],
    pub username: &'a str,
    pub password: &'a str,
    pub use_candidate: bool,
    /// ICE-CONTROLLED instead of ICE-CONTROLLING.
    pub controlled: bool,
    /// An empty attribute of this type besides.
    pub extra: Option<u16>,
}

impl Check<'_> {
    pub fn bytes(&self) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0];
        message.extend(COOKIE);
        message.extend(self.transaction);
        put(&mut message, 0x0006, self.username.as_bytes());
        put(&mut message, 0x0024, &0x6E00_01FF_u32.to_be_bytes());
        put(&mut message, if self.controlled { 0x8029 } else { 0x802A }, &[0x5A; 8]);
        if self.use_candidate {
            put(&mut message, 0x0025, &[]);
        }
        if let Some(kind) = self.extra {
            put(&mut message, kind, &[]);
        }
        set_length(&mut message, 24);
        let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(self.password.as_bytes()).expect("any length will do");
        mac.update(&message);
        let tag = mac.finalize().into_bytes();
        put(&mut message, 0x0008, &tag);
        set_length(&mut message, 8);
        let crc = crc32fast::hash(&message) ^ 0x5354_554E;
        put(&mut message, 0x8028, &crc.to_be_bytes());
        message
    }
}

fn put(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    set_length(message, 0);
}

fn set_length(message: &mut [u8], more: usize) {
    let length = (message.len() - 20 + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}
