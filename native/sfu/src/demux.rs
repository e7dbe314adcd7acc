//! Several protocols on one port, told apart by their first bytes (RFC 9443 §3, RFC 5761 §4).

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RFC 8489.
    Stun,
    /// RFC 6347, RFC 9147.
    Dtls,
    /// RFC 3550.
    Rtp,
    /// RFC 3550 §6.
    Rtcp,
    /// RFC 9000.
    Quic,
    /// None of these; ZRTP and TURN channels among them.
    Unknown,
}

/// Never panics; an empty datagram is `Unknown`.
pub fn classify(datagram: &[u8]) -> Kind {
    match datagram {
        [0..=3, ..] => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        // RFC 5761 §4: payload types 64 to 95 are not used by RTP on a shared port, so 192 to 223 here are RTCP.
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, _, ..] => Kind::Rtp,
        [64..=79 | 192..=255, ..] => Kind::Quic,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_first_byte_belongs_to_the_protocol_of_rfc_9443() {
        let ranges = [
            (0..=3, Kind::Stun),
            (4..=19, Kind::Unknown),
            (20..=63, Kind::Dtls),
            (64..=79, Kind::Quic),
            (80..=127, Kind::Unknown),
            (128..=191, Kind::Rtp),
            (192..=255, Kind::Quic),
        ];
        for (range, kind) in ranges {
            for first in range {
                assert_eq!(classify(&[first, 0, 0]), kind, "first byte {first}");
            }
        }
        assert_eq!(classify(&[]), Kind::Unknown);
        assert_eq!(classify(&[0x80]), Kind::Unknown);
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_its_packet_type() {
        for second in 0..=255u8 {
            let expected = if (192..=223).contains(&second) { Kind::Rtcp } else { Kind::Rtp };
            assert_eq!(classify(&[0x80, second]), expected);
        }
    }
}
