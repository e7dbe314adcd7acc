use std::collections::HashMap;

use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};
use sfu::{
    drops::Drop,
    rtp::{Header, extend_sequence},
    srtp::{Inbound, MasterKey, Outbound, Profile},
};

/// What sealing adds at most: the index of SRTCP and the longer of the tags.
const OVERHEAD: usize = 4 + 16;

/// The fixed header of RTCP with the sender's SSRC (RFC 3550 §6.4.1), which stays in clear.
const RTCP_HEADER: usize = 8;

/// One direction of SRTP and SRTCP, for tools and tests.
#[pyclass(module = "chorale_engine")]
pub(super) struct Srtp {
    inbound: Inbound,
    outbound: Outbound,
    /// The highest packet index sealed so far, by SSRC.
    sealed: HashMap<u32, u64>,
}

#[pymethods]
impl Srtp {
    #[new]
    #[pyo3(signature = (*, profile, key, salt))]
    fn new(profile: &str, key: &[u8], salt: &[u8]) -> PyResult<Srtp> {
        let profile = Profile::from_name(profile).ok_or_else(|| PyValueError::new_err("unknown profile"))?;
        let key = MasterKey::new(profile, key, salt).map_err(|wrong| PyValueError::new_err(wrong.to_string()))?;
        Ok(Srtp { inbound: Inbound::new(&key), outbound: Outbound::new(&key), sealed: HashMap::new() })
    }

    fn protect<'py>(&mut self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let header = Header::parse(packet).map_err(error)?;
        let highest = self.sealed.get(&header.ssrc).copied();
        let index = highest.map_or(u64::from(header.sequence), |highest| extend_sequence(highest, header.sequence));
        self.sealed.insert(header.ssrc, highest.map_or(index, |highest| highest.max(index)));
        let mut buffer = with_room(packet);
        let len = self.outbound.protect(index, &mut buffer, header.len, packet.len());
        Ok(PyBytes::new(py, &buffer[..len]))
    }

    /// Raises ValueError: "auth", "replay", "short", "header".
    fn unprotect<'py>(&mut self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut buffer = packet.to_vec();
        let opened = self.inbound.unprotect(&mut buffer).map_err(error)?;
        Ok(PyBytes::new(py, &buffer[..opened.len]))
    }

    fn protect_rtcp<'py>(&mut self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        if packet.len() < RTCP_HEADER {
            return Err(error(Drop::Short));
        }
        let mut buffer = with_room(packet);
        match self.outbound.protect_rtcp(&mut buffer, packet.len()) {
            0 => Err(PyValueError::new_err("the key has sealed as many packets as it may")),
            len => Ok(PyBytes::new(py, &buffer[..len])),
        }
    }

    fn unprotect_rtcp<'py>(&mut self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut buffer = packet.to_vec();
        let len = self.inbound.unprotect_rtcp(&mut buffer).map_err(error)?;
        Ok(PyBytes::new(py, &buffer[..len]))
    }
}

fn with_room(packet: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(packet.len() + OVERHEAD);
    buffer.extend_from_slice(packet);
    buffer.resize(packet.len() + OVERHEAD, 0);
    buffer
}

fn error(drop: Drop) -> PyErr {
    PyValueError::new_err(drop.to_string())
}
