use std::convert::Infallible;

use pyo3::{exceptions::PyValueError, prelude::*, types::PyString};

use crate::event;

/// Something that happened: `match event: case Event.Connected(peer=p): ...`
#[pyclass(frozen, eq, module = "chorale_engine")]
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// ICE and DTLS are done; media flows.
    Connected { peer: u64 },
    /// The peer is gone and its handle forgotten. Not sent for peers removed by `remove_peer`.
    Closed { peer: u64, reason: Reason },
    /// From `timestamp` on (the slot's timeline, 48 kHz) slot `slot` of the room carries `csrc`; 0 means nobody. For all
    /// peers with as many slots as the room.
    RoomSlot { room: u64, slot: u8, csrc: u32, timestamp: u32 },
    /// Somebody who is heard begins to speak, or has ceased.
    Speaking { room: u64, csrc: u32, speaking: bool },
    /// Who of a room is the dominant speaker now; 0 means nobody.
    Dominant { room: u64, csrc: u32 },
    /// The same as `RoomSlot` for a peer with fewer slots than the room.
    SlotChanged { peer: u64, slot: u8, csrc: u32, timestamp: u32 },
}

#[pymethods]
impl Event {
    fn __repr__(&self) -> String {
        match self {
            Event::Connected { peer } => format!("Event.Connected(peer={peer})"),
            Event::Closed { peer, reason } => format!("Event.Closed(peer={peer}, reason='{}')", reason.name()),
            Event::RoomSlot { room, slot, csrc, timestamp } => {
                format!("Event.RoomSlot(room={room}, slot={slot}, csrc={csrc}, timestamp={timestamp})")
            }
            Event::Speaking { room, csrc, speaking } => {
                let speaking = if *speaking { "True" } else { "False" };
                format!("Event.Speaking(room={room}, csrc={csrc}, speaking={speaking})")
            }
            Event::Dominant { room, csrc } => format!("Event.Dominant(room={room}, csrc={csrc})"),
            Event::SlotChanged { peer, slot, csrc, timestamp } => {
                format!("Event.SlotChanged(peer={peer}, slot={slot}, csrc={csrc}, timestamp={timestamp})")
            }
        }
    }
}

impl From<event::Event> for Event {
    fn from(event: event::Event) -> Event {
        match event {
            event::Event::Connected { peer } => Event::Connected { peer: peer.0 },
            event::Event::Closed { peer, reason } => Event::Closed { peer: peer.0, reason: Reason(reason) },
            event::Event::RoomSlot { room, slot, csrc, timestamp } => {
                Event::RoomSlot { room: room.0, slot, csrc, timestamp }
            }
            event::Event::Speaking { room, csrc, speaking } => Event::Speaking { room: room.0, csrc, speaking },
            event::Event::Dominant { room, csrc } => Event::Dominant { room: room.0, csrc },
            event::Event::SlotChanged { peer, slot, csrc, timestamp } => {
                Event::SlotChanged { peer: peer.0, slot, csrc, timestamp }
            }
        }
    }
}

/// A string in Python.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason(event::Reason);

impl Reason {
    fn name(self) -> &'static str {
        match self.0 {
            event::Reason::Handshake => "handshake",
            event::Reason::Fingerprint => "fingerprint",
            event::Reason::Consent => "consent",
            event::Reason::Closed => "closed",
            event::Reason::Failed => "failed",
        }
    }
}

impl<'py> IntoPyObject<'py> for Reason {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Infallible> {
        Ok(PyString::intern(py, self.name()))
    }
}

impl FromPyObject<'_, '_> for Reason {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Reason> {
        use event::Reason::{Closed, Consent, Failed, Fingerprint, Handshake};
        let name: String = object.extract()?;
        let reasons = [Handshake, Fingerprint, Consent, Closed, Failed].map(Reason);
        reasons.into_iter().find(|reason| reason.name() == name).ok_or_else(|| PyValueError::new_err("unknown reason"))
    }
}
