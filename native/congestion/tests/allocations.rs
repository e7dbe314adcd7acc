//! Sending and feedback allocate nothing in their stride, and an estimator is small.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use congestion::{Arrivals, Bitrate, Estimator, Pacer};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and `alloc` gave out the system's memory.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(new_size as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract, and `alloc` gave out the system's memory.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The only test of this binary, so that nobody else allocates meanwhile.
#[test]
fn a_packet_sent_and_acknowledged_allocates_nothing_and_all_its_memory_is_below_forty_kilobytes() {
    let start = Instant::now();
    let before = BYTES.load(Ordering::Relaxed);
    let mut estimator = Estimator::new(start);
    estimator.sent(start, 1200, None);
    let size = size_of::<Estimator>() as u64 + BYTES.load(Ordering::Relaxed) - before;
    assert!(size < 40_000, "{size} bytes");

    let mut pacer = Pacer::new(start);
    let mut arrivals = Arrivals::new();
    arrivals.received(start, 0, Duration::ZERO);
    let mut fci = [0; 1200];
    let mut feedbacks = 0;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for n in 1..20_000 {
        let now = start + Duration::from_millis(1) * n;
        estimator.wanted(now, Bitrate::kbps(12_000), Bitrate::kbps(9600));
        if let Some(probe) = estimator.probe(now) {
            pacer.begin_probe(now, &probe);
        }
        pacer.may_send(now);
        let sequence = estimator.sent(now, 1200, pacer.probe());
        pacer.sent(1200);
        pacer.set_rate(estimator.target());
        // Some are lost, and a queue comes and goes.
        if n % 50 != 7 {
            arrivals.received(now, sequence, Duration::from_millis(u64::from(n + n % 3000 / 20)));
        }
        if arrivals.due().is_some_and(|due| due <= now) {
            let len = arrivals.write(now, &mut fci);
            estimator.feedback(now, &fci[..len]).expect("what was written");
            feedbacks += 1;
        }
        estimator.poll(now);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    assert!(feedbacks > 300, "{feedbacks}");
}
