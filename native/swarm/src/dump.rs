//! Sealed packets and their keys in a file, for whoever wants to open them by other means.
//!
//! JSON lines: first `{"profile", "key", "salt", "slots"}`, then `{"at_us", "kind", "packet"}` for each datagram of RTP or
//! RTCP as it arrived. Bytes are hexadecimal, times count from the process's beginning.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

use sfu::{
    demux::{Kind, classify},
    srtp::Profile,
};

use crate::Material;

/// Datagrams that are kept: ten minutes of one stream, in 10 MB.
const MAX_DATAGRAMS: u32 = 30_000;

/// What one client receives, on its way into a file.
pub struct Dump {
    file: BufWriter<File>,
    begun: bool,
    left: u32,
}

impl Dump {
    /// Truncates the file.
    pub fn create(path: &Path) -> io::Result<Dump> {
        Ok(Dump { file: BufWriter::new(File::create(path)?), begun: false, left: MAX_DATAGRAMS })
    }

    /// Write a datagram that arrived, when it is RTP or RTCP and the keys are known.
    pub(crate) fn write(
        &mut self,
        at: Duration,
        datagram: &[u8],
        material: Option<&Material>,
        slots: &[u32],
    ) -> io::Result<()> {
        let kind = match classify(datagram) {
            Kind::Rtp => "rtp",
            Kind::Rtcp => "rtcp",
            _ => return Ok(()),
        };
        let Some(material) = material.filter(|_| self.left > 0) else { return Ok(()) };
        if !std::mem::replace(&mut self.begun, true) {
            let (key, salt) = (hex(&material.key), hex(&material.salt));
            let profile = name(material.profile);
            let line = serde_json::json!({ "profile": profile, "key": key, "salt": salt, "slots": slots });
            writeln!(self.file, "{line}")?;
        }
        self.left -= 1;
        let line = serde_json::json!({ "at_us": at.as_micros() as u64, "kind": kind, "packet": hex(datagram) });
        writeln!(self.file, "{line}")
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// IANA's, without the `SRTP_` prefix.
fn name(profile: Profile) -> &'static str {
    match profile {
        Profile::AeadAes128Gcm => "AEAD_AES_128_GCM",
        Profile::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
