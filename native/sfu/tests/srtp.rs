//! SRTP between two ends over a network that loses, reorders, repeats and forges.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use sfu::drops::Drop;
use sfu::rtcp::Writer;
use sfu::srtp::{Inbound, MAX_SSRCS, MasterKey, Outbound, Profile};

const PROFILES: [Profile; 2] = [Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80];

fn master(profile: Profile) -> MasterKey {
    MasterKey::new(profile, &[0x2B; 16], &vec![0x3C; profile.salt_len()]).unwrap()
}

fn ends(profile: Profile) -> (Outbound, Inbound) {
    (Outbound::new(&master(profile)), Inbound::new(&master(profile)))
}

fn packet(ssrc: u32, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, 0x6F];
    packet.extend((index as u16).to_be_bytes());
    packet.extend((index as u32).wrapping_mul(960).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xBE, 0xDE, 0, 1, 0x10, 0x99, 0, 0]);
    packet.extend(payload);
    packet
}

fn seal(outbound: &Outbound, index: u64, plain: &[u8]) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    sealed.resize(plain.len() + 16, 0);
    let len = outbound.protect(index, &mut sealed, 20, plain.len());
    sealed.truncate(len);
    sealed
}

fn compound(n: u32) -> Vec<u8> {
    let mut buf = [0; 200];
    let mut writer = Writer::new(&mut buf);
    writer.receiver_report(77, &[]).unwrap();
    writer.sdes_cname(77, &format!("packet {n}")).unwrap();
    let len = writer.finish();
    buf[..len].to_vec()
}

fn seal_rtcp(outbound: &mut Outbound, plain: &[u8]) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    sealed.resize(plain.len() + 20, 0);
    let len = outbound.protect_rtcp(&mut sealed, plain.len());
    sealed.truncate(len);
    sealed
}

/// What the network does with the packets of a run: (how far each is moved back in the order, lost, repeated).
fn network(len: usize) -> impl Strategy<Value = Vec<(usize, bool, bool)>> {
    let loss = prop::bool::weighted(0.2);
    prop::collection::vec((0usize..40, loss, any::<bool>()), len)
}

/// The order in which `count` packets arrive.
fn arrivals(network: &[(usize, bool, bool)]) -> Vec<usize> {
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (n, (delay, lost, repeated)) in network.iter().enumerate() {
        if !lost {
            order.push((n + delay, n));
        }
        if *repeated && !lost {
            order.push((n + delay * 2, n));
        }
    }
    order.sort();
    order.into_iter().map(|(_, n)| n).collect()
}

proptest! {
    #[test]
    fn every_packet_arrives_once_and_whole_over_rollovers(
        profile in prop::sample::select(&PROFILES[..]),
        // Below half of the numbers, so that a lost beginning hides no rollover.
        start in prop::sample::select(vec![0u64, 1, 17, 0x7F00]),
        // So that a reordering by 80 packets is less than half of them.
        stride in prop::sample::select(vec![1u64, 3, 300]),
        network in network(150),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (outbound, mut inbound) = ends(profile);
        let mut seen = HashSet::new();
        let mut highest = 0;
        for n in arrivals(&network) {
            let index = start + n as u64 * stride;
            let plain = packet(5, index, &payload);
            let mut sealed = seal(&outbound, index, &plain);
            prop_assert_eq!(sealed.len(), plain.len() + profile.rtp_overhead());
            match inbound.unprotect(&mut sealed) {
                Ok(opened) => {
                    prop_assert!(seen.insert(index));
                    prop_assert_eq!(opened.index, index);
                    prop_assert_eq!(&sealed[..opened.len], &plain[..]);
                    highest = highest.max(index);
                }
                Err(drop) => {
                    prop_assert_eq!(drop, Drop::Replay);
                    prop_assert!(seen.contains(&index) || index + 1024 <= highest);
                }
            }
        }
    }

    #[test]
    fn a_run_of_lost_packets_shorter_than_half_the_numbers_loses_no_rollover(
        profile in prop::sample::select(&PROFILES[..]), start in 0u64..0x8000,
        leaps in prop::collection::vec(1u64..0x8000, 1..60),
    ) {
        let (outbound, mut inbound) = ends(profile);
        let mut index = start;
        for leap in [0].into_iter().chain(leaps) {
            index += leap;
            let mut sealed = seal(&outbound, index, &packet(5, index, b"here"));
            prop_assert_eq!(inbound.unprotect(&mut sealed).unwrap().index, index);
        }
    }

    #[test]
    fn every_report_arrives_once_and_whole(
        profile in prop::sample::select(&PROFILES[..]), network in network(150),
    ) {
        let (mut outbound, mut inbound) = ends(profile);
        let plain: Vec<_> = (0..150).map(compound).collect();
        let sealed: Vec<_> = plain.iter().map(|plain| seal_rtcp(&mut outbound, plain)).collect();
        let mut seen = HashSet::new();
        for n in arrivals(&network) {
            let mut datagram = sealed[n].clone();
            match inbound.unprotect_rtcp(&mut datagram) {
                Ok(len) => {
                    prop_assert!(seen.insert(n));
                    prop_assert_eq!(&datagram[..len], &plain[n][..]);
                }
                Err(drop) => prop_assert!(drop == Drop::Replay && seen.contains(&n)),
            }
        }
    }

    #[test]
    fn a_changed_packet_is_refused_and_changes_nothing(
        profile in prop::sample::select(&PROFILES[..]), at: prop::sample::Index, bit in 0u8..8, cut in 0usize..40,
    ) {
        let (mut outbound, mut inbound) = ends(profile);
        let good = seal(&outbound, 9, &packet(5, 9, b"what was said"));
        let mut changed = good.clone();
        *at.get_mut(&mut changed) ^= 1 << bit;
        prop_assert!(inbound.unprotect(&mut changed).is_err());
        prop_assert!(cut == 0 || inbound.unprotect(&mut good[..good.len().saturating_sub(cut)].to_vec()).is_err());
        prop_assert!(inbound.unprotect(&mut good.clone()).is_ok());
        let good = seal_rtcp(&mut outbound, &compound(3));
        let mut changed = good.clone();
        *at.get_mut(&mut changed) ^= 1 << bit;
        prop_assert!(inbound.unprotect_rtcp(&mut changed).is_err());
        prop_assert!(inbound.unprotect_rtcp(&mut good.clone()).is_ok());
    }

    #[test]
    fn no_bytes_make_it_panic_or_pass(
        profile in prop::sample::select(&PROFILES[..]), bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let (_, mut inbound) = ends(profile);
        prop_assert!(inbound.unprotect(&mut bytes.clone()).is_err());
        prop_assert!(inbound.unprotect_rtcp(&mut bytes.clone()).is_err());
    }
}

#[test]
fn strangers_leave_no_state_and_the_limit_is_for_those_who_know_the_key() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = ends(profile);
        for ssrc in 0..1000 {
            let mut forged = seal(&outbound, 1, &packet(ssrc, 1, b"?"));
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(inbound.unprotect(&mut forged).unwrap_err(), Drop::Unauthenticated);
            let mut forged = seal_rtcp(&mut outbound, &[&[0x80, 201, 0, 1], &ssrc.to_be_bytes()[..]].concat());
            forged[8] ^= 1;
            assert_eq!(inbound.unprotect_rtcp(&mut forged).unwrap_err(), Drop::Unauthenticated);
        }
        for ssrc in 0..40 {
            let known = (ssrc as usize) < MAX_SSRCS;
            let mut sealed = seal(&outbound, 1, &packet(ssrc, 1, b"!"));
            assert_eq!(inbound.unprotect(&mut sealed).err(), (!known).then_some(Drop::TooManySources));
            let mut sealed = seal_rtcp(&mut outbound, &[&[0x80, 201, 0, 1], &ssrc.to_be_bytes()[..]].concat());
            assert_eq!(inbound.unprotect_rtcp(&mut sealed).err(), (!known).then_some(Drop::TooManySources));
        }
        let mut sealed = seal(&outbound, 2, &packet(0, 2, b"still here"));
        assert!(inbound.unprotect(&mut sealed).is_ok());
    }
}

#[test]
fn ssrcs_have_rollovers_and_windows_of_their_own() {
    for profile in PROFILES {
        let (outbound, mut inbound) = ends(profile);
        let mut next: HashMap<u32, u64> = [(1, 0), (2, 0x7FFF), (3, 100)].into();
        for n in 0..300u64 {
            for ssrc in 1..=3 {
                let index = next.get_mut(&ssrc).unwrap();
                *index += if ssrc == 2 { 500 } else { 1 + n % 2 };
                let mut sealed = seal(&outbound, *index, &packet(ssrc, *index, b"x"));
                assert_eq!(inbound.unprotect(&mut sealed.clone()).unwrap().index, *index);
                assert_eq!(inbound.unprotect(&mut sealed).unwrap_err(), Drop::Replay);
            }
        }
    }
}

#[test]
fn another_key_or_another_profile_opens_nothing() {
    for (ours, theirs) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (mut outbound, _) = ends(PROFILES[ours]);
        let other = MasterKey::new(PROFILES[theirs], &[0x2C; 16], &vec![0x3C; PROFILES[theirs].salt_len()]).unwrap();
        let mut inbound = Inbound::new(&other);
        let mut sealed = seal(&outbound, 9, &packet(5, 9, b"private"));
        assert_eq!(inbound.unprotect(&mut sealed).unwrap_err(), Drop::Unauthenticated);
        let mut sealed = seal_rtcp(&mut outbound, &compound(3));
        assert!(inbound.unprotect_rtcp(&mut sealed).is_err());
    }
}

#[test]
fn rtp_and_rtcp_are_sealed_under_different_keys() {
    let (outbound, mut inbound) = ends(Profile::AeadAes128Gcm);
    // An RTP packet that parses as RTCP: same key, SSRC and index would open it.
    let mut sealed = seal(&outbound, 1, &packet(5, 1, b"12345678901234567890"));
    sealed.extend([0x80, 0, 0, 1]);
    assert_eq!(inbound.unprotect_rtcp(&mut sealed).unwrap_err(), Drop::Unauthenticated);
}
