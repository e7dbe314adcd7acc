//! The command line.

use std::{fs, path::PathBuf, time::Duration};

use clap::Parser;
use swarm::{Camera, Encoding, whip::Endpoint};

/// RFC 8853 has no limit; servers know three, and a camera has no pixels for more.
const MAX_ENCODINGS: usize = 3;

const EXAMPLES: &str = "\
Examples:

  One voice, a hundred listeners, for half a minute:
    swarm --whip http://127.0.0.1:8080/whip/ROOM --whep http://127.0.0.1:8080/whep/ROOM \\
          --bearer TOKEN --players 100 --seconds 30

  A camera in three encodings of 2.5 Mb/s together, and fifty who watch it:
    swarm --whip http://127.0.0.1:8080/whip/ROOM --whep http://127.0.0.1:8080/whep/ROOM \\
          --bearer TOKEN --players 50 --video

  Ten rooms of five publishers (two talk at a time) and five players, joining 50 a second, as JSON:
    swarm $(for room in $ROOMS; do echo --whip $NODE/whip/$room --whep $NODE/whep/$room; done) \\
          --bearers tokens.txt --publishers 50 --players 50 --talkers 2 --rate 50 --json

Peers are dealt out to the URLs in turn: the first publisher and the first player go to the first, and so on. So the \
first --whip and the first --whep should be the same room, that players hear publishers.

The delay is measured by the time that is written into the padding of each Opus packet, which no decoder looks at; it \
is that of frames which this process both sent and received, and holds what this process itself needed. If many frames \
were sent late, this machine was too slow for the load, and the figures are its own.

The exit status is 0 when every peer joined, stayed, and (players, when this process publishes too) heard something; 1 \
when one did not; 2 when the command line is wrong.";

/// Load for a WHIP and WHEP server: many publishers and players in one process, counted exactly.
#[derive(Debug, Parser)]
#[command(name = "swarm", after_help = EXAMPLES)]
pub struct Options {
    /// Where to publish (RFC 9725); may be given several times, once a room
    #[arg(long, value_name = "URL")]
    pub whip: Vec<String>,
    /// Where to play; may be given several times
    #[arg(long, value_name = "URL")]
    pub whep: Vec<String>,
    /// For the Authorization header; one for all, or one for each URL: those of --whip first
    #[arg(long, value_name = "TOKEN", conflicts_with = "bearers")]
    pub bearer: Vec<String>,
    /// A file of tokens, one a line; peers take them in turn, publishers first
    #[arg(long, value_name = "FILE")]
    pub bearers: Option<PathBuf>,
    /// How many publish [default: 1 a --whip]
    #[arg(long, value_name = "N")]
    pub publishers: Option<usize>,
    /// How many play [default: 1 a --whep]
    #[arg(long, value_name = "M")]
    pub players: Option<usize>,
    /// How many publishers of one URL talk at a time [default: all]
    #[arg(long, value_name = "K")]
    pub talkers: Option<usize>,
    /// How long until the next ones talk; 0: always the same
    #[arg(long, value_name = "SECONDS", default_value = "4", value_parser = seconds)]
    pub turn: Duration,
    /// Streams that a player asks for
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub slots: u8,
    /// Publishers send synthetic VP8 too, in three temporal layers, and players ask for it
    #[arg(long)]
    pub video: bool,
    /// Video streams that a player asks for [default: 1 with --video]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u8).range(0..=32), requires = "video")]
    pub video_slots: Option<u8>,
    /// Of the simulcast encodings, the smallest first; one: no simulcast
    #[arg(long, value_name = "BITS/S,…", default_value = "150k,500k,1.85M", value_delimiter = ',', value_parser = bitrate)]
    pub bitrates: Vec<u32>,
    /// Frames of video a second
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub frame_rate: u32,
    /// How long the load lasts after the last peer joined
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub seconds: Duration,
    /// Joins per second
    #[arg(long, value_name = "JOINS/S", default_value_t = 20.0, value_parser = rate)]
    pub rate: f64,
    /// HTTP requests at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub parallel: u16,
    /// Threads for media
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// What is said: an Ogg Opus file with frames of 20 ms [default: a built-in sentence]
    #[arg(long, value_name = "FILE")]
    pub voice: Option<PathBuf>,
    /// Send a frame every 20 ms in silence too, and not every 400
    #[arg(long)]
    pub no_dtx: bool,
    /// Send frames as they are in the file; the delay is not measured then
    #[arg(long)]
    pub no_stamp: bool,
    /// Write what the first player receives into FILE, sealed, with its keys (JSON lines)
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
    /// Print one JSON object and no table
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub quiet: bool,
}

/// A peer that is to join.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Where.
    pub endpoint: Endpoint,
    /// Rather than plays.
    pub publishes: bool,
    /// Its number among those of its URL.
    pub member: usize,
    /// How many those are.
    pub members: usize,
}

impl Options {
    /// What a publisher sends beside its voice, with these stamps.
    pub fn camera(&self, stamp: (u32, u32)) -> Option<Camera> {
        // Each encoding has half the width of the next.
        let halvings = |number: usize| (self.bitrates.len() - 1 - number) as u32;
        let encoding = |(number, bitrate): (usize, &u32)| Encoding {
            bitrate: *bitrate,
            width: 1280 >> halvings(number),
            height: 720 >> halvings(number),
        };
        let encodings = self.bitrates.iter().enumerate().map(encoding).collect();
        let (frame_rate, key_frames_at_once) = (self.frame_rate, false);
        self.video.then_some(Camera { encodings, frame_rate, key_frames_at_once, stamp })
    }

    /// How many videos a player asks for.
    pub fn video_slots(&self) -> usize {
        usize::from(self.video_slots.unwrap_or(u8::from(self.video)))
    }

    /// Everybody, in the order in which they join. Errors are sentences for whoever wrote the command line.
    pub fn plan(&self) -> Result<Vec<Planned>, String> {
        let publishers = self.publishers.unwrap_or(self.whip.len());
        let players = self.players.unwrap_or(self.whep.len());
        if publishers + players == 0 {
            return Err("nobody would join: give --whip or --whep (see --help)".into());
        }
        if publishers > 0 && self.whip.is_empty() {
            return Err("publishers need --whip URL".into());
        }
        if players > 0 && self.whep.is_empty() {
            return Err("players need --whep URL".into());
        }
        if self.bitrates.is_empty() || self.bitrates.len() > MAX_ENCODINGS {
            return Err(format!("--bitrates has from 1 to {MAX_ENCODINGS} encodings"));
        }
        if players == 0 && self.dump.is_some() {
            return Err("--dump writes what a player receives, and there is none".into());
        }
        if !cfg!(feature = "tls")
            && let Some(url) = self.whip.iter().chain(&self.whep).find(|url| url.starts_with("https:"))
        {
            return Err(format!("{url}: this build has no HTTPS; build it with --features tls"));
        }
        let tokens = match &self.bearers {
            Some(file) => tokens(file)?,
            None => self.bearer.clone(),
        };
        let urls = self.whip.len() + self.whep.len();
        if self.bearers.is_none() && ![0, 1, urls].contains(&tokens.len()) {
            return Err(format!("{} times --bearer for {urls} URLs: give one, or one for each", tokens.len()));
        }
        let sides = [(true, publishers, &self.whip, 0), (false, players, &self.whep, self.whip.len())];
        let mut plan = Vec::with_capacity(publishers + players);
        for (publishes, count, urls, first) in sides {
            for number in 0..count {
                let at = number % urls.len();
                let token = if self.bearers.is_some() { plan.len() } else { first + at };
                let bearer = (!tokens.is_empty()).then(|| tokens[token % tokens.len()].clone());
                plan.push(Planned {
                    endpoint: Endpoint { url: urls[at].clone(), bearer },
                    publishes,
                    member: number / urls.len(),
                    members: (count - at).div_ceil(urls.len()),
                });
            }
        }
        Ok(plan)
    }
}

fn tokens(file: &PathBuf) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let tokens: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() { Err(format!("{}: no token in it", file.display())) } else { Ok(tokens) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "not a number of seconds".to_owned())
}

/// Bits a second, as 150k or 1.85M.
fn bitrate(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix(['k', 'M']) {
        Some(number) if text.ends_with('k') => (number, 1e3),
        Some(number) => (number, 1e6),
        None => (text, 1.0),
    };
    let bits = number.parse::<f64>().ok().map(|number| number * unit).filter(|bits| (1e4..=5e7).contains(bits));
    bits.map(|bits| bits as u32).ok_or("from 10k to 50M bits a second".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate| (0.01..=100_000.0).contains(rate)).ok_or("from 0.01 to 100000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn plan(words: &str) -> Result<Vec<Planned>, String> {
        Options::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?.plan()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn peers_are_dealt_out_to_the_urls() {
        let plan = plan("swarm --whip http://a --whip http://b --whep http://c --publishers 3 --players 2").unwrap();
        let urls: Vec<&str> = plan.iter().map(|peer| &peer.endpoint.url[7..]).collect();
        assert_eq!(urls, ["a", "b", "a", "c", "c"]);
        let places: Vec<_> = plan.iter().map(|peer| (peer.publishes, peer.member, peer.members)).collect();
        assert_eq!(places, [(true, 0, 2), (true, 0, 1), (true, 1, 2), (false, 0, 2), (false, 1, 2)]);
    }

    #[test]
    fn a_camera_has_the_bitrates_that_are_asked_for() {
        let options =
            Options::try_parse_from("swarm --whip http://a --video --bitrates 150k,1.85M".split(' ')).unwrap();
        let camera = options.camera((1, 2)).unwrap();
        let encodings: Vec<_> = camera.encodings.iter().map(|each| (each.bitrate, each.width, each.height)).collect();
        assert_eq!(encodings, [(150_000, 640, 360), (1_850_000, 1280, 720)]);
        assert_eq!((options.video_slots(), camera.stamp), (1, (1, 2)));
    }

    #[test]
    fn a_token_is_for_all_or_for_its_url() {
        let one = plan("swarm --whip http://a --whep http://b --bearer x").unwrap();
        assert!(one.iter().all(|peer| peer.endpoint.bearer.as_deref() == Some("x")));
        let each = plan("swarm --whip http://a --whep http://b --bearer x --bearer y").unwrap();
        assert_eq!(each[1].endpoint.bearer.as_deref(), Some("y"));
        assert!(plan("swarm --whip http://a --whep http://b --whep http://c --bearer x --bearer y").is_err());
        assert_eq!(plan("swarm --whip http://a").unwrap()[0].endpoint.bearer, None);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused_with_a_sentence() {
        for line in [
            "swarm",
            "swarm --publishers 3",
            "swarm --whip http://a --players 1",
            "swarm --whip http://a --rate 0",
            "swarm --whip http://a --seconds -1",
            "swarm --whip http://a --dump x",
            "swarm --whip http://a --video --bitrates 1k",
            "swarm --whip http://a --video --bitrates 1M,1M,1M,1M",
            "swarm --whip http://a --video-slots 2",
            "swarm --whip http://a --bearers /nonexistent",
        ] {
            assert!(plan(line).is_err_and(|sentence| sentence.len() > 10), "{line}");
        }
    }
}
