//! SRTP under a fixed key: nothing that is made up opens, and whatever is sealed opens once.
#![no_main]

use std::sync::LazyLock;

use sfu::rtp::Header;
use sfu::srtp::{Inbound, MasterKey, Outbound, Profile};

static KEYS: LazyLock<[MasterKey; 2]> = LazyLock::new(|| {
    [Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80].map(|profile| {
        MasterKey::new(profile, b"a fixed key for ", &vec![0x5A; profile.salt_len()]).expect("lengths are right")
    })
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for key in KEYS.iter() {
        let mut inbound = Inbound::new(key);
        assert!(inbound.unprotect(&mut data.to_vec()).is_err());
        assert!(inbound.unprotect_rtcp(&mut data.to_vec()).is_err());

        let mut outbound = Outbound::new(key);
        let mut buf = [data, &[0; 20]].concat();
        if let Ok(header) = Header::parse(data) {
            let len = outbound.protect(u64::from(header.sequence), &mut buf, header.len, data.len());
            let opened = inbound.unprotect(&mut buf[..len].to_vec());
            let mut again = buf[..len].to_vec();
            assert!(inbound.unprotect(&mut again).is_err());
            assert_eq!(opened.expect("it was sealed").len, data.len());
        }
        if data.len() >= 8 {
            buf[..data.len()].copy_from_slice(data);
            let len = outbound.protect_rtcp(&mut buf, data.len());
            let mut sealed = buf[..len].to_vec();
            assert_eq!(inbound.unprotect_rtcp(&mut sealed), Ok(data.len()));
            assert_eq!(&sealed[..data.len()], data);
            assert!(inbound.unprotect_rtcp(&mut buf[..len]).is_err());
        }
    }
});
