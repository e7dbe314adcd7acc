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
    /// CPU time of the media thread.
    pub worker_cpu: Duration,
}

impl Counters {
    /// Every counter with its name.
    pub fn entries(&self) -> impl Iterator<Item = (String, u64)> {
        let own = [
            ("rooms", self.core.rooms),
            ("peers", self.core.peers),
            ("sources", self.core.sources),
            ("slots_held", self.core.slots_held),
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
            ("dtls_pending", self.dtls_pending),
            ("worker_cpu_ns", self.worker_cpu.as_nanos() as u64),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(self.core.drops.iter().map(|(reason, count)| (format!("drop_{}", reason.name()), count)))
    }
}
