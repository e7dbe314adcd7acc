//! What video costs: a camera of 2.5 Mb/s that fifty watch, in real time, for pacing and congestion control are a part of it.
//!
//! `video`: CPU time of one forwarded packet, feedback of all watchers included, beside the bare loop at the same rhythm;
//! memory of the source, and of one who watches. `switching`: from a new wish to the first packet of that encoding, from an
//! encoder that answers at once and from one that does with its next frame. `repair`: how long it takes and what it costs.

use std::{
    error::Error,
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use swarm::Camera;

use super::{allocations, bare::BareThread, stage::Stage};

const WATCHERS: usize = 50;
/// Of one round: shorter than what makes a source count as silent.
const PERIOD: Duration = Duration::from_millis(400);
const FRAMES_PER_S: f64 = 30.0;
/// The bitrate of 720p settles, buffers have grown.
const WARM_UP: Duration = Duration::from_secs(3);
/// Between two switches, so that a key frame may be asked for again.
const PAUSE: Duration = Duration::from_millis(1500);
/// Packets of which one is forgotten.
const FORGETS: u64 = 10;
/// Stamps of nobody else.
const STAMP: (u32, u32) = (1, 1);

type Done = Result<(), Box<dyn Error>>;

/// One line for each kind of camera and feedback.
pub fn stages(rounds: usize) -> Done {
    for (encodings, camera) in [(3, Camera::simulcast(STAMP)), (1, Camera::single(2_500_000, STAMP))] {
        for transport_cc in [true, false] {
            stage(encodings, &camera, transport_cc, rounds)?;
        }
    }
    Ok(())
}

fn stage(encodings: u8, camera: &Camera, transport_cc: bool, rounds: usize) -> Done {
    let mut stage = Stage::new(camera, WATCHERS, transport_cc)?;
    let nothing = allocations::bytes();
    // Nobody watches yet.
    let warm_up = if rounds > 1 { WARM_UP } else { PERIOD };
    stage.run(warm_up)?;
    let source = allocations::bytes() - nothing;
    stage.wish_for_all(encodings - 1)?;
    stage.run(warm_up)?;
    let watcher = (allocations::bytes() - nothing - source) / WATCHERS as i64;

    let (packets, bytes) = stage.seen();
    let bare = BareThread::start(stage.addresses()?, (bytes / packets) as usize);
    let sockets = stage.sockets()?;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut allocated, mut forwarded) = (0, 0);
    for _ in 0..rounds {
        stage.settle()?;
        let before = (stage.cpu()?, stage.seen().0, allocations::count());
        stage.run(PERIOD)?;
        let after = (stage.cpu()?, stage.seen().0, allocations::count());
        let seen = after.1 - before.1;
        let cost = (after.0 - before.0).as_nanos() as f64 / seen as f64;
        let least = bare_cost(&bare, &sockets, seen)?;
        ours.push(cost);
        theirs.push(least);
        ratios.push(least / cost);
        allocated += after.2 - before.2;
        forwarded += seen;
    }
    let statistics = stage.statistics();
    let (ours, theirs, ratio) = (super::median(ours), super::median(theirs), super::median(ratios));
    println!(
        r#"{{"scenario":"video","encodings":{encodings},"transport_cc":{transport_cc},"watchers":{WATCHERS},"forwarded_ns":{ours:.0},"bare_ns":{theirs:.0},"ratio":{ratio:.3},"allocations_a_packet":{:.6},"payload_bytes":{},"source_bytes":{source},"watcher_bytes":{watcher},"miscut":{},"jumps":{}}}"#,
        allocated as f64 / forwarded as f64,
        bytes / packets,
        statistics.miscut,
        statistics.jumps,
    );
    Ok(())
}

/// CPU time of one of `packets` datagrams of the bare loop, in bursts as frames are.
fn bare_cost(bare: &BareThread, sockets: &[UdpSocket], packets: u64) -> Result<f64, Box<dyn Error>> {
    let frames = (PERIOD.as_secs_f64() * FRAMES_PER_S) as u64;
    let calls = (packets / WATCHERS as u64).div_ceil(frames) as usize;
    let (mut sent, mut cpu) = (0, Duration::ZERO);
    for _ in 0..frames {
        let next = Instant::now() + Duration::from_secs_f64(1.0 / FRAMES_PER_S);
        let spent = bare.send(calls)?;
        sent += spent.0;
        cpu += spent.1;
        drain(sockets);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(cpu.as_nanos() as f64 / sent as f64)
}

fn drain(sockets: &[UdpSocket]) {
    let mut buffer = [0; 1];
    for socket in sockets {
        while socket.recv_from(&mut buffer).is_ok() {}
    }
}

/// How long a watcher waits for another encoding, up and down.
pub fn switching(times: usize) -> Done {
    for at_once in [true, false] {
        let camera = Camera { key_frames_at_once: at_once, ..Camera::simulcast(STAMP) };
        let mut stage = Stage::new(&camera, 2, true)?;
        stage.wish_for_all(2)?;
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..times {
            for (width, encoding, latencies) in [(320, 0, &mut down), (1280, 2, &mut up)] {
                stage.run(PAUSE)?;
                let begin = Instant::now();
                stage.wish(0, width)?;
                stage.run_until(|stage| stage.encoding(0) == Some(encoding))?;
                latencies.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        let most = |latencies: &[f64]| latencies.iter().copied().fold(0.0, f64::max);
        let (up_most, down_most) = (most(&up), most(&down));
        println!(
            r#"{{"scenario":"switching","key_frames":"{}","up_ms":{:.2},"up_most_ms":{up_most:.2},"down_ms":{:.2},"down_most_ms":{down_most:.2}}}"#,
            if at_once { "at once" } else { "next frame" },
            super::median(up),
            super::median(down),
        );
    }
    Ok(())
}

/// How long a watcher waits for a packet that it asks for, and what that costs. Rounds with and without alternate.
pub fn repair(rounds: usize) -> Done {
    let mut stage = Stage::new(&Camera::single(2_500_000, STAMP), WATCHERS, true)?;
    stage.wish_for_all(0)?;
    stage.run(if rounds > 1 { WARM_UP } else { PERIOD })?;
    let (mut forwarded, mut repaired) = (Vec::new(), Vec::new());
    let before = stage.statistics();
    for _ in 0..rounds {
        let mut spent = |forgets| -> Result<(f64, f64, f64), Box<dyn Error>> {
            stage.forget_every(forgets);
            stage.run(PERIOD / 4)?;
            let before = (stage.cpu()?, stage.statistics());
            stage.run(PERIOD)?;
            let (cpu, after) = (stage.cpu()? - before.0, stage.statistics());
            let repaired = (after.repaired - before.1.repaired) as f64;
            Ok((cpu.as_nanos() as f64, (after.packets - before.1.packets) as f64 - repaired, repaired))
        };
        let (cpu, packets, _) = spent(None)?;
        let each = cpu / packets;
        let (cpu, packets, again) = spent(Some(FORGETS))?;
        forwarded.push(each);
        repaired.push((cpu - packets * each) / again);
    }
    stage.forget_every(None);
    stage.run(PERIOD)?;
    let after = stage.statistics();
    let count = after.repaired - before.repaired;
    let mean = (after.repair - before.repair).as_secs_f64() * 1e3 / count as f64;
    println!(
        r#"{{"scenario":"repair","repair_ms":{mean:.3},"repaired":{count},"asked":{},"holes":{},"forwarded_ns":{:.0},"repaired_ns":{:.0}}}"#,
        after.nacked - before.nacked,
        after.holes - before.holes,
        super::median(forwarded),
        super::median(repaired),
    );
    Ok(())
}
