//! How many peers can join in a second: `add_peer`, ICE, DTLS.

use std::{error::Error, time::Instant};

use serde_json::json;
use swarm::histogram::Histogram;

use crate::host::{Clients, Host, Kind, own_cpu};

const KIND: Kind = Kind { room_size: 10, publishes: true, slots: 8, connects: true };
/// Both sides are warm then: code paged in, buffers made.
const WARM_UP: u64 = 20;

pub fn measure(peers: u64) -> Result<(), Box<dyn Error>> {
    let (mut host, mut clients) = (Host::start()?, Clients::new()?);
    let sessions = host.admit(WARM_UP, KIND, &clients.identity)?;
    clients.join(sessions, |_| None)?;

    let (engine, own, start) = (host.cpu()?, own_cpu()?, Instant::now());
    let sessions = host.admit(peers, KIND, &clients.identity)?;
    clients.join(sessions, |_| None)?;
    let (took, ours) = (start.elapsed(), own_cpu()? - own);
    let after = host.cpu()?;

    let (outcomes, _) = clients.swarm.stop()?;
    let mut times = Histogram::default();
    outcomes.iter().skip(WARM_UP as usize).filter_map(|each| each.joined).for_each(|joined| times.record(joined));
    let theirs = after.all - engine.all;
    let each = |seconds: f64| seconds * 1000.0 / peers as f64;
    let line = json!({
        "joins": peers,
        "joins_per_s": peers as f64 / took.as_secs_f64(),
        "joins_per_engine_cpu_s": peers as f64 / theirs.as_secs_f64(),
        "engine_cpu_ms_per_join": each(theirs.as_secs_f64()),
        "media_thread_cpu_ms_per_join": each((after.media - engine.media).as_secs_f64()),
        "client_cpu_ms_per_join": each(ours.as_secs_f64()),
        "join_ms_p50": times.quantile(0.5).as_secs_f64() * 1000.0,
        "join_ms_p99": times.quantile(0.99).as_secs_f64() * 1000.0,
    });
    println!("{line}");
    Ok(())
}
