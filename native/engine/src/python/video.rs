use pyo3::{exceptions::PyValueError, prelude::*};
use sfu::{Extensions, VideoSlotConfig, VideoSourceConfig, video::MAX_ENCODINGS};

use super::peer::{check_extension, check_payload_type};

/// A codec of video as one m-line has it.
#[pyclass(frozen, module = "chorale_engine")]
pub(super) struct VideoCodec(sfu::VideoCodec);

#[pymethods]
impl VideoCodec {
    #[new]
    #[pyo3(signature = (*, codec, payload_type, rtx_payload_type=None))]
    fn new(codec: &str, payload_type: u8, rtx_payload_type: Option<u8>) -> PyResult<VideoCodec> {
        let codec = codec.parse().map_err(|_| PyValueError::new_err(format!("unknown codec: {codec:?}")))?;
        check_payload_type(payload_type)?;
        check_payload_type(rtx_payload_type.unwrap_or(0))?;
        if rtx_payload_type == Some(payload_type) {
            return Err(PyValueError::new_err("media and repair need payload types of their own"));
        }
        Ok(VideoCodec(sfu::VideoCodec { codec, payload_type, rtx_payload_type }))
    }

    #[getter]
    fn codec(&self) -> &'static str {
        self.0.codec.name()
    }
}

/// A camera or a screen that a peer publishes.
#[pyclass(frozen, module = "chorale_engine")]
pub(super) struct VideoSource(VideoSourceConfig);

#[pymethods]
impl VideoSource {
    #[new]
    #[pyo3(
        signature = (*, csrc, mid, screen, codecs, rids=Vec::new(), ssrcs=Vec::new()),
        text_signature = "(*, csrc, mid, screen, codecs, rids=(), ssrcs=())",
    )]
    fn new(
        csrc: u32,
        mid: String,
        screen: bool,
        codecs: Vec<Bound<'_, VideoCodec>>,
        rids: Vec<String>,
        ssrcs: Vec<(u32, Option<u32>)>,
    ) -> PyResult<VideoSource> {
        if csrc == 0 {
            return Err(PyValueError::new_err("csrc 0 means nobody"));
        }
        if codecs.is_empty() {
            return Err(PyValueError::new_err("a source needs a codec"));
        }
        if rids.len() > MAX_ENCODINGS || ssrcs.len() > rids.len().max(1) {
            return Err(PyValueError::new_err(format!("a source has at most {MAX_ENCODINGS} encodings")));
        }
        let codecs = codecs.iter().map(|codec| codec.get().0).collect();
        Ok(VideoSource(VideoSourceConfig { csrc, mid, screen, codecs, rids, ssrcs }))
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

impl VideoSource {
    pub(super) fn config(&self) -> VideoSourceConfig {
        self.0.clone()
    }
}

/// What a peer watches into: one RTP stream of ours, and its repair stream, on one m-line of theirs.
#[pyclass(frozen, module = "chorale_engine")]
pub(super) struct VideoSlot(VideoSlotConfig);

#[pymethods]
impl VideoSlot {
    #[new]
    #[pyo3(signature = (*, ssrc, rtx_ssrc, codecs))]
    fn new(ssrc: u32, rtx_ssrc: u32, codecs: Vec<Bound<'_, VideoCodec>>) -> PyResult<VideoSlot> {
        if ssrc == rtx_ssrc {
            return Err(PyValueError::new_err("media and repair need SSRCs of their own"));
        }
        let codecs = codecs.iter().map(|codec| codec.get().0).collect();
        Ok(VideoSlot(VideoSlotConfig { ssrc, rtx_ssrc, codecs }))
    }

    #[getter]
    fn ssrc(&self) -> u32 {
        self.0.ssrc
    }
}

impl VideoSlot {
    pub(super) fn config(&self) -> VideoSlotConfig {
        self.0.clone()
    }
}

/// Ids by the names that Python has for them.
pub(super) fn extensions(ids: impl IntoIterator<Item = (String, u8)>) -> PyResult<Extensions> {
    let mut extensions = Extensions::default();
    for (name, id) in ids {
        check_extension(Some(id))?;
        let place = match name.as_str() {
            "mid" => &mut extensions.mid,
            "rid" => &mut extensions.rid,
            "repaired_rid" => &mut extensions.repaired_rid,
            "transport_cc" => &mut extensions.transport_cc,
            "abs_capture_time" => &mut extensions.abs_capture_time,
            "playout_delay" => &mut extensions.playout_delay,
            "video_layers_allocation" => &mut extensions.video_layers_allocation,
            "dependency_descriptor" => &mut extensions.dependency_descriptor,
            "video_orientation" => &mut extensions.video_orientation,
            // Agreed on by peers that know nothing better; a stream of ours has no use for it.
            "abs_send_time" => continue,
            _ => return Err(PyValueError::new_err(format!("unknown header extension: {name:?}"))),
        };
        *place = Some(id);
    }
    Ok(extensions)
}
