//! Totals since the start and gauges of now, of the core and of its shell together.

use std::time::Duration;

/// A snapshot, exact at the moment it was asked for.
#[derive(Clone, Debug)]
pub struct Counters {
    /// What the core counts. Datagrams and bytes are counted at the sockets instead.
    pub core: sfu::Counters,
    /// Datagrams taken from the sockets, and their payload.
    pub datagrams_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Datagrams the kernel took from us.
    pub datagrams_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Arrived longer than any packet we expect.
    pub drop_oversized: u64,
    /// The kernel had no room for them.
    pub drop_send_full: u64,
    /// The kernel refused them: no route, a firewall, too long for the path.
    pub drop_send_refused: u64,
    /// DTLS records, in either direction, beyond what may wait for the handshake thread.
    pub drop_dtls_queue: u64,
    /// DTLS records to a peer that has no address yet, or is gone.
    pub drop_dtls_path: u64,
    /// Slot changes that nobody drained in time.
    pub drop_event_full: u64,
    /// Handshakes under way.
    pub dtls_pending: u64,
    /// Open TCP connections.
    pub tcp_connections: u64,
    /// Connections that were closed at once: too many, or too many of strangers.
    pub drop_tcp_refused: u64,
    /// Packets that a TCP connection did not take in time, or that is gone.
    pub drop_tcp_full: u64,
    /// Packets to other workers that found no room.
    pub drop_relay_full: u64,
    /// CPU time of each media thread.
    pub worker_cpu: Vec<Duration>,
    /// Workers that panicked and were restarted.
    pub worker_restarts: u64,
}

impl Counters {
    /// Those of another worker, too.
    pub(crate) fn add(&mut self, other: &Counters) {
        self.core.add(&other.core);
        for (mine, theirs) in [
            (&mut self.datagrams_in, other.datagrams_in),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.datagrams_out, other.datagrams_out),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.drop_oversized, other.drop_oversized),
            (&mut self.drop_send_full, other.drop_send_full),
            (&mut self.drop_send_refused, other.drop_send_refused),
            (&mut self.drop_dtls_path, other.drop_dtls_path),
            (&mut self.drop_event_full, other.drop_event_full),
            (&mut self.drop_relay_full, other.drop_relay_full),
            (&mut self.tcp_connections, other.tcp_connections),
            (&mut self.drop_tcp_refused, other.drop_tcp_refused),
            (&mut self.drop_tcp_full, other.drop_tcp_full),
            (&mut self.dtls_pending, other.dtls_pending),
        ] {
            *mine += theirs;
        }
        self.worker_cpu.extend(&other.worker_cpu);
    }

    /// CPU time of all media threads together.
    pub fn media_cpu(&self) -> Duration {
        self.worker_cpu.iter().sum()
    }

    /// Every counter with its name.
    pub fn entries(&self) -> impl Iterator<Item = (String, u64)> {
        let own = [
            ("rooms", self.core.rooms),
            ("peers", self.core.peers),
            ("sources", self.core.sources),
            ("slots_held", self.core.slots_held),
            ("videos", self.core.videos),
            ("video_cache", self.core.video_cache),
            ("datagrams_in", self.datagrams_in),
            ("datagrams_out", self.datagrams_out),
            ("bytes_in", self.bytes_in),
            ("bytes_out", self.bytes_out),
            ("drop_oversized", self.drop_oversized),
            ("drop_send_full", self.drop_send_full),
            ("drop_send_refused", self.drop_send_refused),
            ("drop_dtls_queue", self.drop_dtls_queue),
            ("drop_dtls_path", self.drop_dtls_path),
            ("drop_event_full", self.drop_event_full),
            ("resent", self.core.resent),
            ("key_frames_asked", self.core.key_frames_asked),
            ("dtls_pending", self.dtls_pending),
            ("tcp_connections", self.tcp_connections),
            ("drop_tcp_refused", self.drop_tcp_refused),
            ("drop_tcp_full", self.drop_tcp_full),
            ("drop_relay_full", self.drop_relay_full),
            ("worker_cpu_ns", self.media_cpu().as_nanos() as u64),
            ("workers", self.worker_cpu.len() as u64),
            ("worker_restarts", self.worker_restarts),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let cpu = self.worker_cpu.iter().enumerate();
        let own = own.chain(cpu.map(|(worker, time)| (format!("worker{worker}_cpu_ns"), time.as_nanos() as u64)));
        own.chain(self.core.drops.iter().map(|(reason, count)| (format!("drop_{}", reason.name()), count)))
    }
}
