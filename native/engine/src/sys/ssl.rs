use std::{ffi::c_int, ptr, time::Duration};

use foreign_types_shared::ForeignTypeRef;
use openssl::ssl::SslRef;

/// `DTLS_CTRL_GET_TIMEOUT` of openssl/ssl.h, which the bindings lack.
const DTLS_CTRL_GET_TIMEOUT: c_int = 73;

/// How long until the handshake must retransmit its last flight (RFC 6347 §4.2.4); None while nothing waits for an answer.
pub(crate) fn retransmission_timeout(ssl: &SslRef) -> Option<Duration> {
    let mut left = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: `ssl` is alive, and this control writes nothing but the `timeval` it is given. Its const-ness is the
    // binding's: the control does not change the connection.
    let running =
        unsafe { openssl_sys::SSL_ctrl(ssl.as_ptr(), DTLS_CTRL_GET_TIMEOUT, 0, ptr::from_mut(&mut left).cast()) };
    (running == 1).then(|| Duration::from_secs(left.tv_sec as u64) + Duration::from_micros(left.tv_usec as u64))
}
