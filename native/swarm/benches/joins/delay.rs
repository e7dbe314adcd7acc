//! How long a packet is on its way from one client to another, at half of what the engine can do.
//!
//! Rooms of ten in which two talk. The delay goes from before the sender's seal to after the receiver's, through two
//! sockets and two wake-ups; a bare UDP echo beside it has the same but for the engine.

use std::{
    error::Error,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use swarm::{Microphone, histogram::Histogram, talk::Pattern, voice::Voice};

use crate::{
    echo,
    host::{Clients, Cpu, Host, Kind, idle, own_cpu},
};

const ROOM: u64 = 10;
const TALKERS: u64 = 2;
const KIND: Kind = Kind { room_size: ROOM, publishes: true, slots: 8, connects: true };
/// Rooms by which the engine's capacity is judged.
const FIRST_ROOMS: u64 = 10;
/// More would measure this process: its clients take more than the engine does.
const MAX_ROOMS: u64 = 100;
/// Of a core, for the media thread and for our own.
const HALF: f64 = 0.5;
/// Of what the machine has left, the part that is used: interrupts come on top.
const SPARE: f64 = 0.6;
/// Talkers begin, slots are given out.
const WARM_UP: Duration = Duration::from_secs(2);

struct Load {
    engine: Cpu,
    own: Duration,
    idle: Duration,
    at: Instant,
}

/// Of a core.
struct Parts {
    media: f64,
    /// This process's.
    own: f64,
    /// What nobody used.
    idle: f64,
}

impl Load {
    fn now(host: &Host) -> Result<Load, Box<dyn Error>> {
        Ok(Load { engine: host.cpu()?, own: own_cpu()?, idle: idle()?, at: Instant::now() })
    }

    /// Since then.
    fn since(&self, host: &Host) -> Result<Parts, Box<dyn Error>> {
        let now = Load::now(host)?;
        let part = |time: Duration| time.as_secs_f64() / (now.at - self.at).as_secs_f64();
        Ok(Parts {
            media: part(now.engine.media - self.engine.media),
            own: part(now.own - self.own),
            idle: part(now.idle.saturating_sub(self.idle)),
        })
    }
}

pub fn measure(is_quick: bool) -> Result<(), Box<dyn Error>> {
    let period = Duration::from_secs(if is_quick { 1 } else { 10 });
    let (mut host, mut clients) = (Host::start()?, Clients::new()?);
    clients.swarm.measure(false);
    let voice = Arc::new(Voice::built_in());
    let run = clients.run;
    let open = |clients: &mut Clients, host: &mut Host, rooms: u64| -> Result<(), Box<dyn Error>> {
        let sessions = host.admit(rooms * ROOM, KIND, &clients.identity)?;
        clients.join(sessions, |at| {
            Some(Microphone {
                voice: Arc::clone(&voice),
                pattern: Pattern::new(ROOM as usize, TALKERS as usize, Duration::ZERO),
                member: at % ROOM as usize,
                dtx: true,
                stamp: Some((run, at as u32)),
            })
        })
    };
    let mut rooms = if is_quick { 1 } else { FIRST_ROOMS };
    open(&mut clients, &mut host, rooms)?;
    if !is_quick {
        thread::sleep(WARM_UP);
        let before = Load::now(&host)?;
        thread::sleep(WARM_UP);
        let Parts { media, own, idle } = before.since(&host)?;
        // Where others use the machine too, what they leave is what there is.
        let fit = (HALF / media.max(own)).min(1.0 + SPARE * idle / (media + own));
        let more = ((rooms as f64 * fit) as u64).clamp(rooms, MAX_ROOMS) - rooms;
        open(&mut clients, &mut host, more)?;
        rooms += more;
        thread::sleep(WARM_UP);
    }
    let (before, received) = (Load::now(&host)?, clients.swarm.progress().received);
    clients.swarm.measure(true);
    thread::sleep(period);
    clients.swarm.measure(false);
    let Parts { media, own, .. } = before.since(&host)?;
    let packets = clients.swarm.progress().received - received;
    let sent = clients.swarm.progress().sent;
    let (outcomes, delays) = clients.swarm.stop()?;
    let late: u64 = outcomes.iter().map(|outcome| outcome.statistics.late_frames).sum();
    let lost: i64 = outcomes.iter().flat_map(|outcome| &outcome.statistics.streams).map(|stream| stream.lost).sum();
    drop(host);

    let mut line = figures("forwarding_delay", &delays.voice);
    line["rooms"] = json!(rooms);
    line["packets_per_s"] = json!(packets as f64 / period.as_secs_f64());
    line["media_thread_load"] = json!(media);
    line["clients_load"] = json!(own);
    line["late_frames"] = json!(late);
    line["undisturbed"] = json!(late <= sent / 1000 && lost == 0);
    line["lost"] = json!(lost);
    println!("{line}");

    let echoed = echo::measure((rooms * TALKERS) as usize, period)?;
    println!("{}", figures("echo_delay", &echoed));
    let ratio = |part| delays.voice.quantile(part).as_secs_f64() / echoed.quantile(part).as_secs_f64();
    println!("{}", json!({ "delay_ratio_p50": ratio(0.5), "delay_ratio_p99": ratio(0.99) }));
    Ok(())
}

fn figures(name: &str, delays: &Histogram) -> Value {
    let at = |part| delays.quantile(part).as_secs_f64() * 1e6;
    let figure = |part: &str| format!("{name}_us_{part}");
    json!({
        figure("p50"): at(0.5),
        figure("p99"): at(0.99),
        figure("p999"): at(0.999),
        "packets": delays.count(),
    })
}
