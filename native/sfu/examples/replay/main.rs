//! Replays of recordings through a real [`sfu::Sfu`] in virtual time; `tests/recordings/test_replay.py` runs it.
//!
//! ```text
//! replay DESCRIPTION... [--descriptors] --at PLACE TARGET... [--loss-up P] [--loss-down P] [--reordering P] [--seed N]
//! replay DESCRIPTION... [--descriptors] --everywhere FOLDER [--every N]
//! ```
//!
//! A DESCRIPTION is the JSON of a recording, and one publisher. One viewer is given the layers TARGET, from the packet at
//! PLACE of the course on: `source.encoding.spatial.temporal`, or `none`. What it gets comes out as rtpdump. With
//! `--everywhere`, viewers are switched between every two of many targets at every boundary between two packets; all that
//! they get is examined, and what differs goes into FOLDER, with `index.json`; `--every N` leaves out all boundaries but
//! every Nth, beginning with another for each pair. A viewer that gets what no receiver could
//! use makes the program fail, and say what it got.

#[path = "../../tests/support/check.rs"]
mod check;
mod recording;
mod stage;
mod structure;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use recording::Recording;
use simulation::Random;
use stage::{Course, Network, Stage, Step, Target};
use structure::{Sources, examine};

type Failure = Box<dyn std::error::Error>;

/// Between the beginnings of two publishers: their frames do not come together.
const STAGGER: Duration = Duration::from_millis(433);
/// Viewers of one node at a time: it is tidier to have many rooms than one of ten thousand.
const VIEWERS: usize = 400;
/// Packets for which a viewer that pauses sees nothing.
const PAUSE: usize = 40;

#[derive(Default)]
struct Options {
    descriptions: Vec<PathBuf>,
    descriptors: bool,
    steps: Vec<Step>,
    up: Network,
    down: Network,
    seed: u64,
    into: Option<PathBuf>,
    every: usize,
}

fn main() -> Result<(), Failure> {
    let options = options(std::env::args().skip(1))?;
    let recordings = options.descriptions.iter().map(|each| recording::load(each)).collect::<Result<Vec<_>, _>>()?;
    match &options.into {
        Some(folder) => everywhere(&options, &recordings, folder),
        None => once(&options, &recordings),
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, Failure> {
    let mut options = Options { seed: 1, every: 1, ..Options::default() };
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} wants more"));
        match word.as_str() {
            "--descriptors" => options.descriptors = true,
            "--at" => {
                let before = next()?.parse()?;
                options.steps.push(Step { before, target: target(&next()?)? });
            }
            "--loss-up" => options.up.loss = next()?.parse()?,
            "--loss-down" => options.down.loss = next()?.parse()?,
            "--reordering" => options.up.reordering = next()?.parse()?,
            "--seed" => options.seed = next()?.parse()?,
            "--every" => options.every = next()?.parse::<usize>()?.max(1),
            "--everywhere" => options.into = Some(next()?.into()),
            other if other.starts_with("--") => return Err(format!("there is no {other}").into()),
            path => options.descriptions.push(path.into()),
        }
    }
    if options.descriptions.is_empty() {
        return Err("replay DESCRIPTION... [--descriptors] --at PLACE TARGET... | --everywhere FOLDER".into());
    }
    Ok(options)
}

fn target(word: &str) -> Result<Option<Target>, Failure> {
    if word == "none" {
        return Ok(None);
    }
    let numbers = word.split('.').map(str::parse).collect::<Result<Vec<u8>, _>>()?;
    let &[source, encoding, spatial, temporal] = numbers.as_slice() else {
        return Err("a target has four parts".into());
    };
    Ok(Some(Target { source: source.into(), encoding, spatial, temporal }))
}

/// One viewer.
fn once(options: &Options, recordings: &[Recording]) -> Result<(), Failure> {
    let course = Course::new(recordings, STAGGER, options.up, &mut Random::new(options.seed));
    let sources = Sources::new(recordings, &course);
    let mut stage = Stage::new(recordings, options.seed);
    let codec = recordings[0].codec.codec;
    stage.view(codec, options.descriptors, options.steps.clone(), options.down, options.seed);
    stage.play(&course);
    let viewer = &stage.viewers[0];
    std::io::stdout().write_all(&recording::dump(viewer.heard.iter().map(|heard| (heard.at, &heard.data[..]))))?;
    let lossless = options.up.loss + options.up.reordering + options.down.loss == 0.0;
    let summary = examine(&sources, viewer, lossless)?;
    eprintln!(
        "{} packets, {} runs, {} repaired, {} key frames asked; last {:?}",
        summary.packets, summary.runs, viewer.repaired, stage.key_frames_asked, summary.layers
    );
    Ok(())
}

/// Every schedule of one switch at one boundary, for all pairs of targets.
fn schedules(sources: &Sources, recordings: &[Recording], course: &Course, every: usize) -> Vec<Vec<Step>> {
    let targets = sources.targets(0);
    let top = |target: &Target| {
        !targets.iter().any(|other| {
            other.encoding == target.encoding && (other.spatial, other.temporal) > (target.spatial, target.temporal)
        })
    };
    let mut pairs = Vec::new();
    for from in &targets {
        // Layers of one encoding, each to each; encodings, each to each, whole.
        let related = |to: &&Target| *to != from && (to.encoding == from.encoding || top(from) && top(to));
        pairs.extend(targets.iter().filter(related).map(|to| [Some(*from), Some(*to)]));
    }
    let best = targets.last().copied();
    if recordings.len() > 1 {
        let other = sources.targets(1).last().copied();
        pairs = vec![[best, other], [other, best]];
    } else {
        pairs.push([best, None]);
    }
    let mut schedules = Vec::new();
    for (first, [from, to]) in pairs.into_iter().enumerate() {
        for before in (1 + first % every..course.packets.len()).step_by(every) {
            let mut steps = vec![Step { before: 0, target: from }, Step { before, target: to }];
            if to.is_none() && before + PAUSE < course.packets.len() {
                steps.push(Step { before: before + PAUSE, target: from });
            }
            schedules.push(steps);
        }
    }
    schedules
}

fn everywhere(options: &Options, recordings: &[Recording], folder: &Path) -> Result<(), Failure> {
    let course = Course::new(recordings, STAGGER, Network::default(), &mut Random::new(options.seed));
    let sources = Sources::new(recordings, &course);
    let schedules = schedules(&sources, recordings, &course, options.every);
    let mut different = HashMap::new();
    let mut index = Vec::new();
    for some in schedules.chunks(VIEWERS) {
        let mut stage = Stage::new(recordings, options.seed);
        for steps in some {
            let codec = recordings[0].codec.codec;
            stage.view(codec, options.descriptors, steps.clone(), Network::default(), options.seed);
        }
        stage.play(&course);
        for viewer in &stage.viewers {
            let steps: Vec<_> = viewer.steps.iter().map(|step| (step.before, words(step.target))).collect();
            let summary = examine(&sources, viewer, true).map_err(|words| format!("{steps:?}: {words}"))?;
            let count = different.len();
            if *different.entry(summary.course).or_insert(count) < count {
                continue;
            }
            let name = format!("{count:05}.rtpdump");
            let heard = viewer.heard.iter().map(|heard| (heard.at, &heard.data[..]));
            std::fs::write(folder.join(&name), recording::dump(heard))?;
            index.push(serde_json::json!({ "file": name, "steps": steps, "runs": summary.runs }));
        }
    }
    let all = serde_json::json!({ "schedules": schedules.len(), "outputs": index });
    std::fs::write(folder.join("index.json"), all.to_string())?;
    Ok(())
}

fn words(target: Option<Target>) -> String {
    target.map_or("none".to_owned(), |Target { source, encoding, spatial, temporal }| {
        format!("{source}.{encoding}.{spatial}.{temporal}")
    })
}
