//! The load client: see `swarm --help`.
#![forbid(unsafe_code)]

mod load;
mod options;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::Parser;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use swarm::{allow_descriptors, dump::Dump, voice::Voice};

use crate::options::{Options, Planned};

/// Descriptors beside the peers' sockets: HTTP connections, epoll, files.
const OTHER_DESCRIPTORS: u64 = 100;

fn main() -> ExitCode {
    let options = Options::parse();
    match prepare(&options) {
        Err(sentence) => {
            eprintln!("swarm: {sentence}");
            ExitCode::from(2)
        }
        Ok((plan, voice, dump, interrupted)) => match load::run(&options, &plan, voice, dump, &interrupted) {
            Err(error) => {
                eprintln!("swarm: {error}");
                ExitCode::FAILURE
            }
            Ok(report) => {
                if options.json {
                    println!("{}", report.to_json());
                } else {
                    print!("{report}");
                }
                if report.failed() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
            }
        },
    }
}

type Prepared = (Vec<Planned>, Voice, Option<Dump>, Arc<AtomicBool>);

/// What can go wrong before anybody joins.
fn prepare(options: &Options) -> Result<Prepared, String> {
    let plan = options.plan()?;
    let voice = match &options.voice {
        Some(file) => Voice::load(file).map_err(|error| format!("{}: {error}", file.display()))?,
        None => Voice::built_in(),
    };
    allow_descriptors(plan.len() as u64 + u64::from(options.parallel) + OTHER_DESCRIPTORS)?;
    let create = |file: &PathBuf| Dump::create(file).map_err(|error| format!("{}: {error}", file.display()));
    let dump = options.dump.as_ref().map(create).transpose()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first asks to leave in good order; the second, when that takes too long, ends the process.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&interrupted)).map_err(|error| error.to_string())?;
        flag::register(signal, Arc::clone(&interrupted)).map_err(|error| error.to_string())?;
    }
    Ok((plan, voice, dump, interrupted))
}
