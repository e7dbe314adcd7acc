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
        if set_option(socket, forced, bytes as libc::c_int).is_err() {
            let _ = set_option(socket, polite, bytes as libc::c_int);
        }
    }
}

/// Let no more than about `bytes` wait in the kernel to be sent.
pub(crate) fn limit_send_buffer(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    set_option(stream, libc::SO_SNDBUF, bytes as libc::c_int)
}

fn set_option(socket: &impl AsRawFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the socket is open, and `value` is a valid int of the length given.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    })?;
    Ok(())
}
