//! What a peer and a room take of the engine's memory.

use std::error::Error;

use serde_json::json;
use swarm::Identity;

use crate::host::{Clients, Host, Kind};

/// A talkative peer's, connected: a microphone and eight slots.
const PEER: Kind = Kind { room_size: 10, publishes: true, slots: 8, connects: true };
/// Somebody who is only there, so that the room is.
const NOBODY: Kind = Kind { room_size: 1, publishes: false, slots: 0, connects: false };
/// Rooms of so many, against rooms of one: the peers are as many, the rooms a tenth.
const CROWD: u64 = 10;

pub fn measure(step: u64) -> Result<(), Box<dyn Error>> {
    let (mut host, mut clients) = (Host::start()?, Clients::new()?);
    let mut points = Vec::new();
    for round in 1..=3 {
        let sessions = host.admit(step, PEER, &clients.identity)?;
        clients.join(sessions, |_| None)?;
        points.push(((round * step) as f64, host.memory()?));
    }
    clients.swarm.stop()?;
    drop(host);
    let line = json!({ "memory_per_peer_bytes": slope(&points).round(), "peers": [step, 3 * step] });
    println!("{line}");

    let identity = Identity::new()?;
    let peers = step * 20;
    let taken = |room_size| -> Result<f64, Box<dyn Error>> {
        let mut host = Host::start()?;
        let before = host.memory()?;
        host.admit(peers, Kind { room_size, ..NOBODY }, &identity)?;
        Ok(host.memory()? - before)
    };
    let (alone, together) = (taken(1)?, taken(CROWD)?);
    let rooms = peers - peers.div_ceil(CROWD);
    let line = json!({ "memory_per_idle_room_bytes": ((alone - together) / rooms as f64).round(), "rooms": peers });
    println!("{line}");
    Ok(())
}

/// By least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    covariance / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}
