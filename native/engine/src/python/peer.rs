use std::collections::HashMap;

use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    pybacked::{PyBackedBytes, PyBackedStr},
};
use sfu::{PeerConfig, SlotConfig, SourceConfig, VideoConfig};

use super::video::{VideoSlot, VideoSource};
use crate::dtls::{Fingerprints, Terms};

/// RFC 8445 §5.3: fragments and passwords have at most 256 characters.
const MAX_CREDENTIAL: usize = 256;

/// RFC 3550 §6.5: an SDES item's length is one byte.
const MAX_CNAME: usize = 255;

/// What a peer is heard with: its microphone, or the sound of its screen.
#[pyclass(frozen, module = "chorale_engine")]
pub(super) struct Source(SourceConfig);

#[pymethods]
impl Source {
    #[new]
    #[pyo3(signature = (*, csrc, mid, payload_type, red_payload_type=None, ssrc=None, level_extension=None, mid_extension=None))]
    fn new(
        csrc: u32,
        mid: String,
        payload_type: u8,
        red_payload_type: Option<u8>,
        ssrc: Option<u32>,
        level_extension: Option<u8>,
        mid_extension: Option<u8>,
    ) -> PyResult<Source> {
        if csrc == 0 {
            return Err(PyValueError::new_err("csrc 0 means nobody"));
        }
        check_payload_type(payload_type)?;
        check_payload_type(red_payload_type.unwrap_or(0))?;
        check_extension(level_extension)?;
        check_extension(mid_extension)?;
        Ok(Source(SourceConfig { csrc, mid, payload_type, red_payload_type, ssrc, level_extension, mid_extension }))
    }

    #[getter]
    fn csrc(&self) -> u32 {
        self.0.csrc
    }

    #[getter]
    fn mid(&self) -> &str {
        &self.0.mid
    }
}

/// What a peer receives into: one RTP stream of ours, on one m-line of theirs.
#[pyclass(frozen, module = "chorale_engine")]
pub(super) struct Slot(SlotConfig);

#[pymethods]
impl Slot {
    #[new]
    #[pyo3(signature = (*, ssrc, payload_type, red_payload_type=None, nack=false, level_extension=None))]
    fn new(
        ssrc: u32,
        payload_type: u8,
        red_payload_type: Option<u8>,
        nack: bool,
        level_extension: Option<u8>,
    ) -> PyResult<Slot> {
        check_payload_type(payload_type)?;
        check_payload_type(red_payload_type.unwrap_or(0))?;
        check_extension(level_extension)?;
        Ok(Slot(SlotConfig { ssrc, payload_type, red_payload_type, nack, level_extension }))
    }

    #[getter]
    fn ssrc(&self) -> u32 {
        self.0.ssrc
    }
}

/// One client's transport, as its offer and our answer describe it.
#[pyclass(frozen, module = "chorale_engine")]
pub(super) struct Peer {
    config: PeerConfig,
    terms: Terms,
}

#[pymethods]
impl Peer {
    #[new]
    #[pyo3(
        signature = (
            *, local_ufrag, local_password, remote_ufrag, remote_password, fingerprints, active=false, sources=Vec::new(),
            slots=Vec::new(), video_sources=Vec::new(), video_slots=Vec::new(), extensions=HashMap::new(),
            transport_cc=false, cname
        ),
        text_signature = "(*, local_ufrag, local_password, remote_ufrag, remote_password, fingerprints, active=False, \
            sources=(), slots=(), video_sources=(), video_slots=(), extensions={}, transport_cc=False, cname)",
    )]
    // One argument a line of the stub, all by name.
    #[allow(clippy::too_many_arguments)]
    fn new(
        local_ufrag: String,
        local_password: String,
        remote_ufrag: String,
        remote_password: String,
        fingerprints: Vec<(PyBackedStr, PyBackedBytes)>,
        active: bool,
        sources: Vec<Bound<'_, Source>>,
        slots: Vec<Bound<'_, Slot>>,
        video_sources: Vec<Bound<'_, VideoSource>>,
        video_slots: Vec<Bound<'_, VideoSlot>>,
        extensions: HashMap<String, u8>,
        transport_cc: bool,
        cname: String,
    ) -> PyResult<Peer> {
        check_credentials([
            ("local_ufrag", &local_ufrag),
            ("local_password", &local_password),
            ("remote_ufrag", &remote_ufrag),
            ("remote_password", &remote_password),
        ])?;
        if cname.len() > MAX_CNAME {
            return Err(PyValueError::new_err(format!("cname must have at most {MAX_CNAME} bytes")));
        }
        let fingerprints = Fingerprints::new(fingerprints.iter().map(|(hash, digest)| (&**hash, &**digest)))
            .map_err(|unusable| PyValueError::new_err(unusable.to_string()))?;
        if sources.len() > 2 {
            return Err(PyValueError::new_err("a peer has a microphone and the sound of its screen"));
        }
        let mut sources = sources.iter().map(|source| source.get().0.clone());
        let (source, screen_sound) = (sources.next(), sources.next());
        let video = (!video_sources.is_empty() || !video_slots.is_empty()).then_some(VideoConfig {
            sources: video_sources.iter().map(|source| source.get().config()).collect(),
            slots: video_slots.iter().map(|slot| slot.get().config()).collect(),
            extensions: super::video::extensions(extensions)?,
            transport_cc,
        });
        let slots = slots.iter().map(|slot| slot.get().0.clone()).collect();
        Ok(Peer {
            config: PeerConfig {
                local_ufrag,
                local_password,
                remote_ufrag,
                remote_password,
                source,
                screen_sound,
                slots,
                video,
                cname,
            },
            terms: Terms { active, fingerprints },
        })
    }
}

impl Peer {
    pub(super) fn config(&self) -> PeerConfig {
        self.config.clone()
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms.clone()
    }
}

/// RFC 8445 §5.3.
pub(super) fn check_credentials(credentials: [(&str, &String); 4]) -> PyResult<()> {
    let wrong = credentials.into_iter().find(|(_, value)| value.is_empty() || value.len() > MAX_CREDENTIAL);
    match wrong {
        Some((name, _)) => Err(PyValueError::new_err(format!("{name} must have 1 to {MAX_CREDENTIAL} characters"))),
        None => Ok(()),
    }
}

/// RFC 3550 §5.1: seven bits.
pub(super) fn check_payload_type(payload_type: u8) -> PyResult<()> {
    if payload_type > 127 { Err(PyValueError::new_err("a payload type is 0 to 127")) } else { Ok(()) }
}

/// RFC 8285 §4.2: one-byte headers carry the ids 1 to 14.
pub(super) fn check_extension(id: Option<u8>) -> PyResult<()> {
    match id {
        None | Some(1..=14) => Ok(()),
        Some(_) => Err(PyValueError::new_err("a header extension id is 1 to 14")),
    }
}
