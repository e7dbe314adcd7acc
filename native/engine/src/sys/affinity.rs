use std::{io, mem};

use super::checked;

/// Let this thread run on one of the processors it may run on, the `index`th. With fewer of them than that, on all.
pub(crate) fn pin(index: usize) -> io::Result<()> {
    // SAFETY: a set of bits, of which all zeroes is the empty one.
    let mut allowed: libc::cpu_set_t = unsafe { mem::zeroed() };
    let size = mem::size_of::<libc::cpu_set_t>();
    // SAFETY: `allowed` is valid and has the size given; 0 is this thread.
    checked(unsafe { libc::sched_getaffinity(0, size, &mut allowed) })?;
    // SAFETY: the indices are within the set's size.
    let is_allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &allowed) };
    let Some(cpu) = (0..libc::CPU_SETSIZE as usize).filter(is_allowed).nth(index) else {
        return Ok(());
    };
    // SAFETY: as above.
    let mut chosen: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `cpu` is within the set's size.
    unsafe { libc::CPU_SET(cpu, &mut chosen) };
    // SAFETY: `chosen` is valid and has the size given; 0 is this thread.
    checked(unsafe { libc::sched_setaffinity(0, size, &chosen) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_is_pinned_to_one_processor_or_left_alone() {
        thread::spawn(|| {
            let count = thread::available_parallelism().unwrap().get();
            pin(count).unwrap();
            assert_eq!(thread::available_parallelism().unwrap().get(), count);
            pin(0).unwrap();
            assert_eq!(thread::available_parallelism().unwrap().get(), 1);
        })
        .join()
        .unwrap();
    }
}
