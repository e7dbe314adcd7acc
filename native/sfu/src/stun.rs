//! STUN as ICE uses it (RFC 8489, RFC 8445 §7): Binding requests in, answers out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use crate::drops::Drop;

const COOKIE: u32 = 0x2112_A442;
const HEADER_LEN: usize = 20;
const INTEGRITY_LEN: usize = 20;
/// RFC 8489 §14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554E;

mod attribute {
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const ICE_CONTROLLED: u16 = 0x8029;
    pub(super) const ICE_CONTROLLING: u16 = 0x802A;
}

/// RFC 8489 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asks.
    Request,
    /// Tells, and wants no answer.
    Indication,
    /// Answers well.
    Success,
    /// Answers ill.
    Error,
}

/// A password with its key schedule prepared (RFC 8489 §9.1.1).
#[derive(Clone)]
pub struct IntegrityKey(Hmac<Sha1>);

impl IntegrityKey {
    /// Short-term credentials: the key is the password.
    pub fn short_term(password: &str) -> Self {
        Self(Hmac::new_from_slice(password.as_bytes()).expect("HMAC takes keys of any length"))
    }

    /// Over the message up to its MESSAGE-INTEGRITY attribute, as if the message ended behind that attribute.
    fn tag(&self, message: &[u8], length: u16) -> [u8; INTEGRITY_LEN] {
        let mut mac = self.0.clone();
        mac.update(&message[..2]);
        mac.update(&length.to_be_bytes());
        mac.update(&message[4..]);
        mac.finalize().into_bytes().into()
    }
}

/// A well-formed message; its integrity is for [`Message::verify`] to say.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// Where the attributes that count end: at MESSAGE-INTEGRITY, if there is one (RFC 8489 §14.5).
    covered: usize,
    integrity: Option<&'a [u8; INTEGRITY_LEN]>,
}

impl<'a> Message<'a> {
    /// Checks lengths, cookie and FINGERPRINT. Never panics, on any input.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Drop> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(Drop::Short)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] & 0xC0 != 0 || header[4..8] != COOKIE.to_be_bytes() || !length.is_multiple_of(4) {
            return Err(Drop::Malformed);
        }
        if bytes.len() != HEADER_LEN + length {
            return Err(if bytes.len() < HEADER_LEN + length { Drop::Short } else { Drop::Malformed });
        }
        let mut message = Self { bytes, covered: bytes.len(), integrity: None };
        let mut attributes = Attributes { bytes, at: HEADER_LEN };
        while let Some(Attribute { at, kind, value }) = attributes.step()? {
            match kind {
                attribute::MESSAGE_INTEGRITY if message.integrity.is_none() => {
                    message.integrity = Some(value.try_into().map_err(|_| Drop::Malformed)?);
                    message.covered = at;
                }
                attribute::FINGERPRINT => {
                    let told: [u8; 4] = value.try_into().map_err(|_| Drop::Malformed)?;
                    let is_last = attributes.at == bytes.len();
                    if !is_last || u32::from_be_bytes(told) != crc32fast::hash(&bytes[..at]) ^ FINGERPRINT_XOR {
                        return Err(Drop::Malformed);
                    }
                }
                _ => {}
            }
        }
        Ok(message)
    }

    fn kind(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    /// Bits C1 and C0 of the type.
    pub fn class(&self) -> Class {
        match self.kind() & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        }
    }

    /// The type without the bits of its class.
    pub fn method(&self) -> u16 {
        let kind = self.kind();
        kind & 0x000F | (kind & 0x00E0) >> 1 | (kind & 0x3E00) >> 2
    }

    /// Chosen by whoever asked.
    pub fn transaction_id(&self) -> [u8; 12] {
        self.bytes[8..HEADER_LEN].try_into().expect("parsed: the header is whole")
    }

    fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: &self.bytes[..self.covered], at: HEADER_LEN }
    }

    fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// `receiver's ufrag:sender's ufrag` in a check.
    pub fn username(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::USERNAME)
    }

    /// The controlling side chooses this pair.
    pub fn use_candidate(&self) -> bool {
        self.attribute(attribute::USE_CANDIDATE).is_some()
    }

    /// The sender controls.
    pub fn controlling(&self) -> bool {
        self.attribute(attribute::ICE_CONTROLLING).is_some()
    }

    /// The sender believes itself controlled.
    pub fn controlled(&self) -> bool {
        self.attribute(attribute::ICE_CONTROLLED).is_some()
    }

    /// Of the candidate the check came from.
    pub fn priority(&self) -> Option<u32> {
        let value: [u8; 4] = self.attribute(attribute::PRIORITY)?.try_into().ok()?;
        Some(u32::from_be_bytes(value))
    }

    /// 300 to 699, in an error response.
    pub fn error_code(&self) -> Option<u16> {
        match self.attribute(attribute::ERROR_CODE)? {
            [_, _, class @ 3..=6, number @ 0..=99, ..] => Some(u16::from(*class) * 100 + u16::from(*number)),
            _ => None,
        }
    }

    /// Comprehension-required attributes that this module does not know (RFC 8489 §6.3.1).
    pub fn unknown_required(&self) -> impl Iterator<Item = u16> + 'a {
        let known = |kind: u16| {
            matches!(
                kind,
                attribute::USERNAME
                    | attribute::ERROR_CODE
                    | attribute::UNKNOWN_ATTRIBUTES
                    | attribute::XOR_MAPPED_ADDRESS
                    | attribute::PRIORITY
                    | attribute::USE_CANDIDATE
            )
        };
        self.attributes().map(|(kind, _)| kind).filter(move |kind| *kind < 0x8000 && !known(*kind))
    }

    /// RFC 8489 §14.2.
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        let value = self.attribute(attribute::XOR_MAPPED_ADDRESS)?;
        let (head, address): (&[u8; 4], _) = value.split_first_chunk()?;
        let port = u16::from_be_bytes([head[2], head[3]]) ^ (COOKIE >> 16) as u16;
        let mut mask = [0u8; 16];
        mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
        mask[4..].copy_from_slice(&self.transaction_id());
        let ip = match head[1] {
            1 => {
                let bits = u32::from_be_bytes(address.try_into().ok()?) ^ COOKIE;
                IpAddr::V4(Ipv4Addr::from_bits(bits))
            }
            2 => {
                let bits = u128::from_be_bytes(address.try_into().ok()?) ^ u128::from_be_bytes(mask);
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Is there a MESSAGE-INTEGRITY, and was it made with this key? In constant time.
    pub fn verify(&self, key: &IntegrityKey) -> bool {
        let Some(told) = self.integrity else {
            return false;
        };
        let length = self.covered + 4 + INTEGRITY_LEN - HEADER_LEN;
        let computed = key.tag(&self.bytes[..self.covered], length as u16);
        computed.ct_eq(told).into()
    }
}

struct Attribute<'a> {
    /// Where it begins.
    at: usize,
    kind: u16,
    value: &'a [u8],
}

struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    fn step(&mut self) -> Result<Option<Attribute<'a>>, Drop> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let (head, rest): (&[u8; 4], _) = rest.split_first_chunk().ok_or(Drop::Malformed)?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(..len).ok_or(Drop::Malformed)?;
        self.at = at + 4 + len.next_multiple_of(4);
        Ok(Some(Attribute { at, kind: u16::from_be_bytes([head[0], head[1]]), value }))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.step().ok().flatten().map(|each| (each.kind, each.value))
    }
}

/// Writes one message into a buffer that is large enough for it: the largest here has 120 bytes and a user name.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut [u8], kind: u16, transaction_id: [u8; 12]) -> Self {
        out[..2].copy_from_slice(&kind.to_be_bytes());
        out[2..4].copy_from_slice(&[0, 0]);
        out[4..8].copy_from_slice(&COOKIE.to_be_bytes());
        out[8..HEADER_LEN].copy_from_slice(&transaction_id);
        Self { out, len: HEADER_LEN }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let at = self.len;
        self.out[at..at + 2].copy_from_slice(&kind.to_be_bytes());
        self.out[at + 2..at + 4].copy_from_slice(&(value.len() as u16).to_be_bytes());
        self.out[at + 4..at + 4 + value.len()].copy_from_slice(value);
        let end = at + 4 + value.len().next_multiple_of(4);
        self.out[at + 4 + value.len()..end].fill(0);
        self.len = end;
        let length = (end - HEADER_LEN) as u16;
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
    }

    fn finish(mut self, key: Option<&IntegrityKey>) -> usize {
        if let Some(key) = key {
            let length = (self.len + 4 + INTEGRITY_LEN - HEADER_LEN) as u16;
            let tag = key.tag(&self.out[..self.len], length);
            self.attribute(attribute::MESSAGE_INTEGRITY, &tag);
        }
        // The length must count the FINGERPRINT before it is computed.
        let length = (self.len + 8 - HEADER_LEN) as u16;
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
        let crc = crc32fast::hash(&self.out[..self.len]) ^ FINGERPRINT_XOR;
        self.attribute(attribute::FINGERPRINT, &crc.to_be_bytes());
        self.len
    }
}

/// A connectivity check of a controlling client (RFC 8445 §7.1), for tests and load. `out` must hold 108 bytes and the
/// user name. Returns the length.
pub fn binding_request(
    out: &mut [u8],
    transaction_id: [u8; 12],
    username: &str,
    priority: u32,
    use_candidate: bool,
    key: &IntegrityKey,
) -> usize {
    let mut writer = Writer::new(out, 0x0001, transaction_id);
    writer.attribute(attribute::USERNAME, username.as_bytes());
    writer.attribute(attribute::PRIORITY, &priority.to_be_bytes());
    writer.attribute(attribute::ICE_CONTROLLING, &transaction_id[..8]);
    if use_candidate {
        writer.attribute(attribute::USE_CANDIDATE, &[]);
    }
    writer.finish(Some(key))
}

/// RFC 8489 §6.3.1.1: the answer to a check from `mapped`. `out` must hold 80 bytes. Returns the length.
pub fn binding_success(out: &mut [u8], transaction_id: [u8; 12], mapped: SocketAddr, key: &IntegrityKey) -> usize {
    let mut value = [0u8; 20];
    value[2..4].copy_from_slice(&(mapped.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
    let len = match mapped.ip() {
        IpAddr::V4(ip) => {
            value[1] = 1;
            value[4..8].copy_from_slice(&(ip.to_bits() ^ COOKIE).to_be_bytes());
            8
        }
        IpAddr::V6(ip) => {
            let mut mask = [0u8; 16];
            mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
            mask[4..].copy_from_slice(&transaction_id);
            value[1] = 2;
            value[4..].copy_from_slice(&(ip.to_bits() ^ u128::from_be_bytes(mask)).to_be_bytes());
            20
        }
    };
    let mut writer = Writer::new(out, 0x0101, transaction_id);
    writer.attribute(attribute::XOR_MAPPED_ADDRESS, &value[..len]);
    writer.finish(Some(key))
}

/// RFC 8489 §6.3.1, §14.8. `out` must hold 140 bytes; `reason` at most 40, `unknown` at most 4. Returns the length.
pub fn binding_error(
    out: &mut [u8],
    transaction_id: [u8; 12],
    code: u16,
    reason: &str,
    unknown: &[u16],
    key: Option<&IntegrityKey>,
) -> usize {
    let mut value = [0u8; 44];
    value[2] = (code / 100) as u8;
    value[3] = (code % 100) as u8;
    let reason = &reason.as_bytes()[..reason.len().min(40)];
    value[4..4 + reason.len()].copy_from_slice(reason);
    let mut writer = Writer::new(out, 0x0111, transaction_id);
    writer.attribute(attribute::ERROR_CODE, &value[..4 + reason.len()]);
    if !unknown.is_empty() {
        let mut kinds = [0u8; 8];
        let count = unknown.len().min(4);
        for (place, kind) in kinds.chunks_exact_mut(2).zip(unknown) {
            place.copy_from_slice(&kind.to_be_bytes());
        }
        writer.attribute(attribute::UNKNOWN_ATTRIBUTES, &kinds[..2 * count]);
    }
    writer.finish(key)
}
