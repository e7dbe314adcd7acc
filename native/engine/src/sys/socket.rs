use std::{
    io, mem,
    net::{TcpStream, UdpSocket},
    os::fd::AsRawFd,
};

use super::checked;

/// Ask for `bytes` of buffer in both directions. The kernel grants at most `net.core.{r,w}mem_max`, unless privileged.
pub(crate) fn set_buffer_sizes(socket: &UdpSocket, bytes: usize) {
    for (forced, polite) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        // Best effort: with a small buffer bursts drop earlier, and all else is the same.
        if set_option(socket, libc::SOL_SOCKET, forced, bytes as libc::c_int).is_err() {
            let _ = set_option(socket, libc::SOL_SOCKET, polite, bytes as libc::c_int);
        }
    }
}

/// Take no more from us for `stream` while about `bytes` were not sent, so that what is late waits here and can be dropped.
pub(crate) fn set_unsent_limit(stream: &TcpStream, bytes: usize) {
    // Best effort: without it more is late.
    let _ = set_option(stream, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes as libc::c_int);
}

/// How many descriptors the process may have open.
pub(crate) fn descriptor_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the result. This resource always exists, and if it did not, `limit` would stay 0.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

fn set_option(socket: &impl AsRawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the socket is open, and `value` is a valid int of the length given.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    })?;
    Ok(())
}
