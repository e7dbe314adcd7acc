//! Forwarding allocates nothing once a room is in its stride (a budget of the design).

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use sfu::srtp::Profile;
use sfu::{Event, MAX_DATAGRAM, MAX_RELAY, Note, Output, Path, PeerId, WorkerId, WorkerSet};
use support::client::Setup;
use support::{MS, World};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and `alloc` gave out the system's memory.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract, and `alloc` gave out the system's memory.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts, and keeps nothing.
struct Discard {
    buf: [u8; MAX_DATAGRAM],
    datagrams: u64,
}

impl Output for Discard {
    fn send(&mut self, _to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        self.datagrams += u64::from(fill(&mut self.buf) > 0);
    }

    fn dtls(&mut self, _peer: PeerId, _datagram: &[u8]) {}

    fn event(&mut self, _event: Event) {}

    fn relay(&mut self, _to: WorkerSet, _fill: impl FnOnce(&mut [u8; MAX_RELAY]) -> usize) {}

    fn note(&mut self, _to: WorkerId, _note: Note) {}
}

/// The only test of this binary, so that nobody else allocates meanwhile.
#[test]
fn a_packet_to_fifty_listeners_allocates_nothing_in_either_profile() {
    const LISTENERS: u64 = 50;
    const PACKETS: u64 = 1000;
    for profile in [Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80] {
        let mut world = World::new(8);
        let talker = world.join(Setup { profile, ..Setup::default() });
        for _ in 0..LISTENERS {
            world.join(Setup { profile, ..Setup::default() });
        }
        world.talk(&[(talker, 20)], 100);
        let mut datagrams: Vec<Vec<u8>> = (0..PACKETS)
            .map(|_| {
                let packet = world.clients[talker].speak(20);
                world.clients[talker].seal(&packet)
            })
            .collect();
        let path = world.clients[talker].path;
        let mut out = Discard { buf: [0; MAX_DATAGRAM], datagrams: 0 };

        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for datagram in &mut datagrams {
            world.now += 20 * MS;
            world.sfu.handle(world.now, path, datagram, &mut out);
            // Reports are written in the same time: 20 s of them.
            world.sfu.poll(world.now, &mut out);
        }
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
        assert!(out.datagrams >= LISTENERS * PACKETS, "{}", out.datagrams);
    }
}
