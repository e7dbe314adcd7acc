//! One voice through a node of this process to one listener, whose packets are written to a file with their keys.
//!
//! `cargo run -p swarm --example loopback -- FILE [SECONDS]`: for those who check by other means what this crate and the
//! engine understand the same way and may both have wrong.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    env,
    error::Error,
    net::UdpSocket,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use support::Node;
use swarm::{Clock, Devices, Identity, Join, Microphone, Settings, Swarm, dump::Dump, talk::Pattern, voice::Voice};

/// For both to be connected.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let file = PathBuf::from(words.next().ok_or("usage: loopback FILE [SECONDS]")?);
    let seconds = words.next().map_or(Ok(2.0), |word| word.parse())?;

    let node = Node::start()?;
    let identity = Arc::new(Identity::new()?);
    let clock = Clock::start();
    let swarm = Swarm::start(&Settings { threads: 1, identity: Arc::clone(&identity), clock, run: 1 })?;
    let microphone = Microphone {
        voice: Arc::new(Voice::built_in()),
        pattern: Pattern::new(1, 1, Duration::ZERO),
        member: 0,
        dtx: true,
        stamp: Some((1, 0)),
    };
    let roles = [(false, None, Some(Dump::create(&file)?)), (true, Some(microphone), None)];
    for (number, (publishes, microphone, dump)) in roles.into_iter().enumerate() {
        let session = node.admit(1, &identity, publishes, usize::from(!publishes))?;
        let devices = Devices { microphone, camera: None };
        let (socket, began) = (UdpSocket::bind("127.0.0.1:0")?, Instant::now());
        swarm.add(Join { number: number as u64, session, socket, devices, began, dump })?;
    }
    let deadline = Instant::now() + PATIENCE;
    while swarm.progress().connected < 2 {
        if Instant::now() > deadline {
            return Err("the peers do not connect".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_secs_f64(seconds));
    let (outcomes, delays) = swarm.stop()?;
    let received: u64 = outcomes[0].statistics.streams.iter().map(|stream| stream.packets).sum();
    println!("{{\"received\":{received},\"stamped\":{}}}", delays.voice.count());
    Ok(())
}
