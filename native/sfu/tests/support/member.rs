//! One client of a simulated room, and what it does by itself: it checks, speaks by a plan, reports, and asks again for what
//! it missed.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use sfu::IceCredentials;
use sfu::rtcp::{ReportBlock, SenderInfo};
use simulation::Random;

use super::SECOND;
use super::check::Check;
use super::client::{Client, RED, nack, redundant};
use super::voice::{Plan, Speech};

/// Between checks until one is answered (RFC 8445 §14.2), and afterwards.
const CHECKING: Duration = Duration::from_millis(50);
const CHECKED: Duration = Duration::from_millis(2500);
const FRAME_TIME: Duration = Duration::from_millis(20);
/// Requests for one packet, and the time between them.
const REQUESTS: u32 = 3;
const REQUEST_EVERY: Duration = Duration::from_millis(60);
/// Packets missed at once that are still worth asking for.
const WORTH_ASKING: u64 = 20;

struct Missing {
    requests: u32,
    next: Instant,
}

pub struct Member {
    pub client: Client,
    pub worker: usize,
    pub plan: Plan,
    /// It has left, or the node has forgotten it; it falls silent.
    pub gone: bool,
    /// A check was answered.
    pub established: bool,
    /// RTP packets it sent, and those of them in which it spoke.
    pub sent: u64,
    pub spoken: u64,
    /// Packets it asked for again, and those of them that came.
    pub requested: u64,
    pub repaired: u64,
    start: Instant,
    frame: u64,
    next_frame: Instant,
    next_check: Instant,
    next_report: Instant,
    nominates: bool,
    transactions: u64,
    missing: BTreeMap<(u32, u64), Missing>,
    highest: HashMap<u32, u64>,
    /// The frame before, for RED.
    previous: Option<(u32, Vec<u8>)>,
}

impl Member {
    pub fn new(client: Client, worker: usize, plan: Plan, mut random: Random, now: Instant) -> Self {
        let phase = |random: &mut Random, of: Duration| Duration::from_micros(random.below(of.as_micros() as u64));
        Self {
            client,
            worker,
            plan,
            gone: false,
            established: false,
            sent: 0,
            spoken: 0,
            requested: 0,
            repaired: 0,
            start: now,
            frame: 0,
            next_frame: now + phase(&mut random, FRAME_TIME),
            next_check: now + phase(&mut random, CHECKING),
            next_report: now + phase(&mut random, SECOND),
            nominates: true,
            transactions: 0,
            missing: BTreeMap::new(),
            highest: HashMap::new(),
            previous: None,
        }
    }

    /// When it does something next.
    pub fn next(&self) -> Option<Instant> {
        if self.gone {
            return None;
        }
        let idle = self.plan == Plan::Listens && !self.client.setup.nack;
        let frame = (!idle).then_some(self.next_frame);
        [Some(self.next_check), Some(self.next_report), frame].into_iter().flatten().min()
    }

    /// Other credentials for an ICE restart, with which it nominates at once.
    pub fn restart(&mut self, now: Instant) -> IceCredentials {
        let credentials = self.client.renew_credentials();
        (self.nominates, self.established, self.next_check) = (true, false, now);
        credentials
    }

    /// A datagram from the node arrives.
    pub fn receive(&mut self, now: Instant, bytes: Vec<u8>) {
        let before = self.client.heard.len();
        self.client.receive(now, bytes);
        if !self.client.answers.is_empty() {
            self.client.answers.clear();
            (self.established, self.nominates) = (true, false);
            self.next_check = self.next_check.max(now + CHECKED);
        }
        let Some(heard) = self.client.heard.get(before) else { return };
        let (ssrc, index) = (heard.header.ssrc, heard.index);
        if self.missing.remove(&(ssrc, index)).is_some_and(|missing| missing.requests > 0) {
            self.repaired += 1;
        }
        let highest = self.highest.entry(ssrc).or_insert(index);
        if self.client.setup.nack && index > *highest && index - *highest <= WORTH_ASKING {
            for missed in *highest + 1..index {
                self.missing.insert((ssrc, missed), Missing { requests: 0, next: now });
            }
        }
        *highest = index.max(*highest);
    }

    /// Do what is due: datagrams to the node.
    pub fn act(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.gone {
            return out;
        }
        if self.next_check <= now {
            out.push(self.check());
            self.next_check = now + if self.established { CHECKED } else { CHECKING };
        }
        while self.next_frame <= now {
            // Who only listens has no use for frames, and is not woken for each.
            out.extend(self.speak());
            self.next_frame += FRAME_TIME;
            self.frame += 1;
        }
        if self.client.connected {
            out.extend(self.ask(now));
        }
        if self.next_report <= now {
            self.next_report = now + SECOND;
            if self.client.connected {
                out.push(self.report());
            }
        }
        out
    }

    fn check(&mut self) -> Vec<u8> {
        self.transactions += 1;
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&(self.client.id.0 as u32).to_be_bytes());
        transaction[4..].copy_from_slice(&self.transactions.to_be_bytes());
        let check = Check {
            transaction,
            username: &self.client.username(),
            password: &self.client.local_password,
            use_candidate: self.nominates,
            controlled: false,
            extra: None,
        };
        check.bytes()
    }

    fn speak(&mut self) -> Option<Vec<u8>> {
        let speech = self.plan.speech(self.frame);
        if !self.client.connected || speech == Speech::Nothing {
            self.client.pause(1);
            self.previous = None;
            return None;
        }
        let mut packet = self.client.speak(if let Speech::Frame(level) = speech { level } else { 127 });
        if speech == Speech::Quiet {
            packet.payload = vec![0xF8];
        }
        let frame = (packet.timestamp, packet.payload.clone());
        if let Some((timestamp, before)) = self.previous.replace(frame)
            && self.client.setup.red
        {
            let back = packet.timestamp.wrapping_sub(timestamp);
            packet.payload = redundant(self.client.payload_type, &[(back, before)], &packet.payload);
            packet.payload_type = RED;
        }
        self.sent += 1;
        self.spoken += u64::from(speech != Speech::Quiet);
        Some(self.client.seal(&packet))
    }

    fn ask(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.missing.retain(|_, missing| missing.requests < REQUESTS || missing.next > now);
        let mut asked = Vec::new();
        for ((ssrc, index), missing) in &mut self.missing {
            if missing.next <= now && missing.requests < REQUESTS {
                self.requested += u64::from(missing.requests == 0);
                missing.requests += 1;
                missing.next = now + REQUEST_EVERY;
                asked.push((*ssrc, *index as u16));
            }
        }
        asked.into_iter().map(|(ssrc, sequence)| self.client.seal_rtcp_bytes(&nack(ssrc, sequence, 0))).collect()
    }

    fn report(&mut self) -> Vec<u8> {
        let (ssrc, sent) = (self.client.ssrc, self.sent as u32);
        let heard = self.highest.iter().min().map(|(ssrc, highest)| ReportBlock {
            ssrc: *ssrc,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence: *highest as u32,
            jitter: 0,
            last_sender_report: 0,
            delay_since_last_sender_report: 0,
        });
        let since = self.next_report - self.start;
        let info = SenderInfo {
            ntp: since.as_secs() << 32,
            rtp_timestamp: self.client.timestamp,
            packets: sent,
            octets: sent * 80,
        };
        self.client.seal_rtcp(|writer| {
            let written = if sent > 0 {
                writer.sender_report(ssrc, info, heard.as_slice())
            } else {
                writer.receiver_report(ssrc, heard.as_slice())
            };
            written.expect("it fits");
        })
    }

    /// The longest time, between `from` and `to`, in which nothing of `csrc` was heard.
    pub fn longest_break(&self, csrc: u32, from: Instant, to: Instant) -> Duration {
        let heard = self.client.heard.iter().filter(|heard| heard.csrc == Some(csrc) && (from..to).contains(&heard.at));
        let mut times: Vec<Instant> = [from, to].into_iter().chain(heard.map(|heard| heard.at)).collect();
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
