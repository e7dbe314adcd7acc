use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raise the process's soft limit of open files, if it is below: a client takes one. The error is a sentence.
pub fn allow_descriptors(needed: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let highest = limit.maximum.unwrap_or(needed).min(needed);
    setrlimit(Resource::Nofile, Rlimit { current: Some(highest), maximum: limit.maximum })
        .ok()
        .filter(|()| highest >= needed)
        .ok_or_else(|| format!("so many peers need {needed} open files and {highest} are allowed: see ulimit -n"))
}
