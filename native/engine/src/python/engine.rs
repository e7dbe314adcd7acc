use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd, RawFd},
};

use numpy::{PyArray1, PyArrayDescr};
use pyo3::{
    exceptions::{PyOSError, PyRuntimeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::{IntoPyDict, PyDict, PyTuple},
};
use sfu::{IceCredentials, PeerId, RoomId, Row, Wish, WorkerId};

use super::{
    event::Event,
    peer::{Peer, check_credentials},
};
use crate::{Error, MAX_ADDRESSES, Settings, engine};

/// The columns of `statistics`, in order, in NumPy's notation. `row` writes them.
const COLUMNS: [(&str, &str); 15] = [
    ("peer", "u8"),
    ("room", "u8"),
    ("packets_in", "u8"),
    ("packets_out", "u8"),
    ("bytes_in", "u8"),
    ("bytes_out", "u8"),
    ("lost", "i8"),
    ("jitter", "f4"),
    ("rtt", "f4"),
    ("csrc", "u4"),
    ("kind", "u1"),
    ("slot", "u1"),
    ("worker", "u1"),
    ("level", "u1"),
    ("connected", "u1"),
];

/// Bytes of a row: seven columns of 8, three of 4, five of 1, and what aligns the next row.
const ROW: usize = 80;

/// Threads and sockets. Raises OSError when an address cannot be bound.
#[pyclass(frozen, module = "chorale_engine")]
pub(super) struct Engine(engine::Engine);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, addresses, port=0, audio_slots=8, workers=1, spread_above=200, tcp=true))]
    fn new(
        py: Python<'_>,
        addresses: Vec<String>,
        port: u16,
        audio_slots: usize,
        workers: usize,
        spread_above: usize,
        tcp: bool,
    ) -> PyResult<Engine> {
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(PyValueError::new_err(format!("1 to {MAX_ADDRESSES} addresses are needed")));
        }
        if !(1..=sfu::MAX_SLOTS).contains(&audio_slots) {
            return Err(PyValueError::new_err(format!("audio_slots must be 1 to {}", sfu::MAX_SLOTS)));
        }
        if !(1..=sfu::MAX_WORKERS).contains(&workers) {
            return Err(PyValueError::new_err(format!("workers must be 1 to {}", sfu::MAX_WORKERS)));
        }
        let addresses = addresses.iter().map(|address| parse(address)).collect::<PyResult<_>>()?;
        let settings = Settings { addresses, port, audio_slots, workers, spread_above, tcp };
        py.detach(|| engine::Engine::start(&settings)).map(Engine).map_err(os_error)
    }

    #[getter]
    fn addresses(&self) -> Vec<Vec<(String, u16)>> {
        let of_worker = |bound: &Vec<SocketAddr>| bound.iter().map(|at| (at.ip().to_string(), at.port())).collect();
        self.0.addresses().iter().map(of_worker).collect()
    }

    /// SHA-256 of the DTLS certificate (made anew at each start): 32 bytes.
    #[getter]
    fn fingerprint(&self) -> &[u8] {
        self.0.fingerprint()
    }

    /// Readable while events wait; belongs to the engine, do not close it.
    #[getter]
    fn event_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }

    #[pyo3(signature = (max_events=1024))]
    fn drain(&self, max_events: usize) -> PyResult<Vec<Event>> {
        Ok(self.0.drain(max_events).map_err(error)?.into_iter().map(Event::from).collect())
    }

    /// The room exists from its first peer to its last. Raises ValueError on a description that cannot be served.
    #[pyo3(signature = (*, room, peer, config))]
    fn add_peer(&self, py: Python<'_>, room: u64, peer: u64, config: &Bound<'_, Peer>) -> PyResult<u8> {
        if room.max(peer) > i64::MAX as u64 {
            return Err(PyValueError::new_err("handles are below 2**63"));
        }
        let (config, terms) = (config.get().config(), config.get().terms());
        let added = py.detach(|| self.0.add_peer(RoomId(room), PeerId(peer), config, Some(terms)));
        added.map(|worker| worker.0).map_err(error)
    }

    /// Unknown handles are ignored: the peer may have closed a moment ago.
    fn remove_peer(&self, py: Python<'_>, peer: u64) -> PyResult<()> {
        py.detach(|| self.0.remove_peer(PeerId(peer))).map_err(error)
    }

    fn set_muted(&self, py: Python<'_>, peer: u64, muted: bool) -> PyResult<()> {
        py.detach(|| self.0.set_muted(PeerId(peer), muted)).map_err(error)
    }

    /// Nothing is sent to a deafened peer.
    fn set_deafened(&self, py: Python<'_>, peer: u64, deafened: bool) -> PyResult<()> {
        py.detach(|| self.0.set_deafened(PeerId(peer), deafened)).map_err(error)
    }

    /// Whom a peer does not want to hear: the whole set.
    fn set_ignored(&self, py: Python<'_>, peer: u64, csrcs: Vec<u32>) -> PyResult<()> {
        if csrcs.len() > sfu::MAX_IGNORED {
            return Err(PyValueError::new_err(format!("a peer ignores at most {}", sfu::MAX_IGNORED)));
        }
        py.detach(|| self.0.set_ignored(PeerId(peer), csrcs)).map_err(error)
    }

    /// What a peer shares beside its microphone, by CSRC: the whole set. `silent`: without the sound of its screen.
    #[pyo3(signature = (peer, csrcs, silent=false))]
    fn set_sharing(&self, py: Python<'_>, peer: u64, csrcs: Vec<u32>, silent: bool) -> PyResult<()> {
        if csrcs.len() > sfu::MAX_VIDEO_SOURCES + 1 {
            return Err(PyValueError::new_err(format!("a peer shares at most {}", sfu::MAX_VIDEO_SOURCES + 1)));
        }
        py.detach(|| self.0.set_sharing(PeerId(peer), csrcs, silent)).map_err(error)
    }

    /// What a peer wishes to see: the whole set of (slot, csrc, width, priority, paused).
    fn watch(&self, py: Python<'_>, peer: u64, wishes: Vec<(u8, u32, u16, u8, bool)>) -> PyResult<()> {
        if wishes.len() > sfu::video::MAX_VIDEO_SLOTS {
            return Err(PyValueError::new_err(format!("at most {} slots", sfu::video::MAX_VIDEO_SLOTS)));
        }
        let wish = |(slot, csrc, width, priority, paused)| Wish { slot, csrc, width, priority, paused };
        let wishes = wishes.into_iter().map(wish).collect();
        py.detach(|| self.0.watch(PeerId(peer), wishes)).map_err(error)
    }

    /// The peer's transport stays; its room is another.
    fn move_peer(&self, py: Python<'_>, peer: u64, room: u64) -> PyResult<()> {
        if room > i64::MAX as u64 {
            return Err(PyValueError::new_err("handles are below 2**63"));
        }
        py.detach(|| self.0.move_peer(PeerId(peer), RoomId(room))).map_err(error)
    }

    /// The old credentials count until the client nominates with the new. Raises ValueError.
    #[pyo3(signature = (peer, *, local_ufrag, local_password, remote_ufrag, remote_password))]
    fn restart_ice(
        &self,
        py: Python<'_>,
        peer: u64,
        local_ufrag: String,
        local_password: String,
        remote_ufrag: String,
        remote_password: String,
    ) -> PyResult<()> {
        check_credentials([
            ("local_ufrag", &local_ufrag),
            ("local_password", &local_password),
            ("remote_ufrag", &remote_ufrag),
            ("remote_password", &remote_password),
        ])?;
        let credentials = IceCredentials { local_ufrag, local_password, remote_ufrag };
        py.detach(|| self.0.restart_ice(PeerId(peer), credentials)).map_err(error)
    }

    /// Totals since the start and gauges of now.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        py.detach(|| self.0.counters()).map_err(error)?.entries().into_py_dict(py)
    }

    /// One row a peer.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let rows = py.detach(|| -> Result<Vec<u8>, Error> {
            let by_worker = self.0.statistics()?;
            Ok(by_worker.iter().flat_map(|(worker, rows)| rows.iter().flat_map(|each| row(*worker, each))).collect())
        });
        // A view of the bytes under the columns' names: no array type of ours to keep in step.
        PyArray1::from_vec(py, rows.map_err(error)?).call_method1("view", (columns(py)?,))
    }

    /// Let a worker panic, to see that it harms nobody else.
    fn _panic_worker(&self, worker: u8) -> PyResult<()> {
        self.0.panic_worker(WorkerId(worker)).map_err(error)
    }

    /// Stop the threads and close the sockets; idempotent. Events not drained are dropped.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

fn columns(py: Python<'_>) -> PyResult<&Bound<'_, PyArrayDescr>> {
    static COLUMNS_TYPE: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
    let make = || -> PyResult<Py<PyArrayDescr>> {
        let options = PyDict::new(py);
        options.set_item("align", true)?;
        let columns = COLUMNS.map(|column| PyTuple::new(py, [column.0, column.1]));
        let columns = columns.into_iter().collect::<PyResult<Vec<_>>>()?;
        let dtype = py.import("numpy")?.getattr("dtype")?.call((columns,), Some(&options))?;
        Ok(dtype.cast_into::<PyArrayDescr>()?.unbind())
    };
    Ok(COLUMNS_TYPE.get_or_try_init(py, make)?.bind(py))
}

/// One row, in the order of `COLUMNS` and the byte order of this machine.
fn row(worker: WorkerId, statistics: &Row) -> [u8; ROW] {
    let mut row = [0; ROW];
    let mut end = 0;
    let mut put = |bytes: &[u8]| {
        row[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    };
    put(&statistics.peer.0.to_ne_bytes());
    put(&statistics.room.0.to_ne_bytes());
    put(&statistics.packets_in.to_ne_bytes());
    put(&statistics.packets_out.to_ne_bytes());
    put(&statistics.bytes_in.to_ne_bytes());
    put(&statistics.bytes_out.to_ne_bytes());
    put(&statistics.lost.to_ne_bytes());
    put(&statistics.jitter.to_ne_bytes());
    put(&statistics.rtt.to_ne_bytes());
    put(&statistics.csrc.to_ne_bytes());
    put(&[statistics.kind as u8, statistics.slot, worker.0, statistics.level, u8::from(statistics.connected)]);
    row
}

fn parse(address: &str) -> PyResult<IpAddr> {
    address.parse().map_err(|_| PyValueError::new_err(format!("not an IP address: {address:?}")))
}

/// With its errno, so that Python picks the subclass (PermissionError, …).
fn os_error(error: io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(errno) => PyOSError::new_err((errno, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}

fn error(error: Error) -> PyErr {
    match error {
        Error::Rejected(_) => PyValueError::new_err(error.to_string()),
        Error::Failed(_) | Error::Closed | Error::Stuck | Error::Restarted => {
            PyRuntimeError::new_err(error.to_string())
        }
    }
}
