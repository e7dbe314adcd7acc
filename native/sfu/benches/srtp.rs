//! Sealing and opening one packet of 110 bytes (an Opus frame at 32 kb/s with header, CSRC and level), beside the cipher
//! alone.
#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sfu::srtp::{Inbound, MasterKey, Outbound, Profile};

const LEN: usize = 110;
const HEADER: usize = 24;
/// Packets opened in one measured batch: each must be a new one.
const BATCH: u64 = 512;

fn packet(index: u64) -> [u8; LEN + 16] {
    let mut packet = [0x42; LEN + 16];
    packet[..HEADER].copy_from_slice(&[
        0x91, 111, 0, 0, 0, 0, 0, 0, 0xA0, 0, 0, 1, 0, 0, 0x10, 1, 0xBE, 0xDE, 0, 1, 0x10, 0x99, 0, 0,
    ]);
    packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
    packet
}

fn profiles() -> [(&'static str, MasterKey); 2] {
    ["AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"].map(|name| {
        let profile = Profile::from_name(name).expect("a name of IANA's");
        (name, MasterKey::new(profile, &[7; 16], &vec![9; profile.salt_len()]).expect("lengths are the profile's"))
    })
}

fn protect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("protect");
    group.throughput(Throughput::Elements(1));
    for (name, key) in profiles() {
        let outbound = Outbound::new(&key);
        let (mut index, mut buf) = (0, packet(0));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                index += 1;
                buf[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                black_box(outbound.protect(index, &mut buf, HEADER, LEN))
            });
        });
    }
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("16 bytes"));
    let (mut index, mut buf) = (0u64, packet(0));
    group.bench_function("AES-128-GCM alone", |bencher| {
        bencher.iter(|| {
            index += 1;
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&index.to_be_bytes());
            let (header, text) = buf[..LEN].split_at_mut(HEADER);
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(header), text).expect("short enough");
            buf[LEN..].copy_from_slice(tag.as_ref());
            black_box(&buf);
        });
    });
    group.finish();
}

fn unprotect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unprotect");
    group.throughput(Throughput::Elements(BATCH));
    for (name, key) in profiles() {
        let outbound = Outbound::new(&key);
        let sealed: Vec<_> = (0..BATCH)
            .map(|index| {
                let mut buf = packet(index);
                let len = outbound.protect(index, &mut buf, HEADER, LEN);
                (buf, len)
            })
            .collect();
        let fresh = || (Inbound::new(&key), sealed.clone());
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                fresh,
                |(inbound, packets)| {
                    for (buf, len) in packets {
                        black_box(inbound.unprotect(&mut buf[..*len])).expect("sealed with the same key");
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, protect, unprotect);
criterion_main!(benches);
