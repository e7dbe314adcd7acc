//! One packet through the whole of [`Sfu::handle`] to a hundred receivers: opened once, rewritten and sealed a hundred
//! times, and thrown away.
#![allow(missing_docs, reason = "criterion_group! makes a public function")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sfu::srtp::Profile;
use sfu::{Event, MAX_DATAGRAM, MAX_RELAY, Note, Output, Path, PeerId, WorkerId, WorkerSet};
use support::client::{Rtp, Setup};
use support::{MS, World};

const RECEIVERS: u64 = 100;

struct Discard([u8; MAX_DATAGRAM]);

impl Output for Discard {
    fn send(&mut self, _to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        black_box(fill(&mut self.0));
    }

    fn dtls(&mut self, _peer: PeerId, _datagram: &[u8]) {}

    fn event(&mut self, _event: Event) {}

    fn relay(&mut self, _to: WorkerSet, _fill: impl FnOnce(&mut [u8; MAX_RELAY]) -> usize) {}

    fn note(&mut self, _to: WorkerId, _note: Note) {}
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("forward to {RECEIVERS}"));
    group.throughput(Throughput::Elements(RECEIVERS));
    for (name, profile) in
        [("AEAD_AES_128_GCM", Profile::AeadAes128Gcm), ("AES_CM_128_HMAC_SHA1_80", Profile::AesCm128HmacSha1_80)]
    {
        let mut world = World::new(8);
        let talker = world.join(Setup { profile, ..Setup::default() });
        for _ in 0..RECEIVERS {
            world.join(Setup { profile, ..Setup::default() });
        }
        let path = world.clients[talker].path;
        let mut out = Discard([0; MAX_DATAGRAM]);
        let mut speak = || {
            let packet = Rtp { payload: vec![0x42; 80], ..world.clients[talker].speak(20) };
            world.clients[talker].seal(&packet)
        };
        group.bench_function(name, |bencher| {
            // Sealing on the talker's side is not measured; each packet must be a new one.
            bencher.iter_custom(|packets| {
                let mut sealed: Vec<_> = (0..packets).map(|_| speak()).collect();
                let begin = std::time::Instant::now();
                for datagram in &mut sealed {
                    world.now += 20 * MS;
                    world.sfu.handle(world.now, path, datagram, &mut out);
                }
                begin.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
