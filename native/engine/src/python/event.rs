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
    /// What video slot `slot` of `peer` shows from `timestamp` (90 kHz) on: `csrc` (0: nobody), up to which layers of which
    /// encoding, and why not more.
    VideoSlot { peer: u64, slot: u8, csrc: u32, timestamp: u32, encoding: u8, spatial: u8, temporal: u8, limit: Limit },
    /// Which encodings of its source `csrc` anybody wants from `peer`: bit i is encoding i.
    Encodings { peer: u64, csrc: u32, wanted: u8 },
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
            Event::VideoSlot { peer, slot, csrc, timestamp, encoding, spatial, temporal, limit } => format!(
                "Event.VideoSlot(peer={peer}, slot={slot}, csrc={csrc}, timestamp={timestamp}, encoding={encoding}, \
                 spatial={spatial}, temporal={temporal}, limit='{}')",
                limit.name()
            ),
            Event::Encodings { peer, csrc, wanted } => {
                format!("Event.Encodings(peer={peer}, csrc={csrc}, wanted={wanted})")
            }
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
            event::Event::VideoSlot { peer, slot, csrc, timestamp, encoding, spatial, temporal, limit } => {
                let (peer, limit) = (peer.0, Limit(limit));
                Event::VideoSlot { peer, slot, csrc, timestamp, encoding, spatial, temporal, limit }
            }
            event::Event::Encodings { peer, csrc, wanted } => Event::Encodings { peer: peer.0, csrc, wanted },
            event::Event::SlotChanged { peer, slot, csrc, timestamp } => {
                Event::SlotChanged { peer: peer.0, slot, csrc, timestamp }
            }
        }
    }
}

/// A string in Python, empty for none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit(Option<sfu::Limit>);

impl Limit {
    const ALL: [Limit; 4] = [
        Limit(None),
        Limit(Some(sfu::Limit::Bandwidth)),
        Limit(Some(sfu::Limit::Source)),
        Limit(Some(sfu::Limit::Codec)),
    ];

    fn name(self) -> &'static str {
        match self.0 {
            None => "",
            Some(sfu::Limit::Bandwidth) => "bandwidth",
            Some(sfu::Limit::Source) => "source",
            Some(sfu::Limit::Codec) => "codec",
        }
    }
}

impl<'py> IntoPyObject<'py> for Limit {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Infallible> {
        Ok(PyString::intern(py, self.name()))
    }
}

impl FromPyObject<'_, '_> for Limit {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Limit> {
        let name: String = object.extract()?;
        Limit::ALL.into_iter().find(|limit| limit.name() == name).ok_or_else(|| PyValueError::new_err("unknown limit"))
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
