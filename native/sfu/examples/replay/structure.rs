//! What a viewer got, held against what was sent: nothing but whole frames, under numbers that go on.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sfu::rtp::{Header, extend_sequence};
use sfu::video::{Codec, Numbers, Structure, glance};

use crate::recording::Recording;
use crate::stage::{Course, Heard, Step, Target, Viewer};

/// A packet of a source, and what its descriptor says.
pub struct Sent {
    pub source: usize,
    pub encoding: u8,
    pub index: u64,
    pub timestamp: u32,
    /// In the course; None: it got lost.
    pub place: Option<usize>,
    at: Option<Duration>,
    begins: bool,
    ends: bool,
    key: bool,
    pub spatial: u8,
    pub temporal: u8,
    numbers: Numbers,
    described: bool,
}

/// All media of all publishers, and where a payload is found.
pub struct Sources {
    codec: Codec,
    pub sent: Vec<Sent>,
    by_body: HashMap<Vec<u8>, Vec<usize>>,
}

/// What a payload says that is not renumbered: for the codecs that have numbers, what is behind their descriptor.
fn body(codec: Codec, payload: &[u8]) -> &[u8] {
    let end = match codec {
        Codec::Vp8 => vp8_descriptor(payload),
        Codec::Vp9 => vp9_descriptor(payload),
        Codec::H264 | Codec::Av1 => Some(0),
    };
    end.and_then(|end| payload.get(end..)).unwrap_or(payload)
}

/// RFC 7741 §4.2: its length.
fn vp8_descriptor(payload: &[u8]) -> Option<usize> {
    if payload.first()? & 0x80 == 0 {
        return Some(1);
    }
    let flags = *payload.get(1)?;
    let mut at = 2;
    if flags & 0x80 != 0 {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    Some(at + usize::from(flags & 0x40 != 0) + usize::from(flags & 0x30 != 0))
}

/// RFC 9628 §4.2: the length of all that can be renumbered.
fn vp9_descriptor(payload: &[u8]) -> Option<usize> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    if first & 0x20 != 0 {
        at += if first & 0x10 != 0 { 1 } else { 2 };
    }
    Some(at)
}

impl Sources {
    pub fn new(recordings: &[Recording], course: &Course) -> Self {
        let places: HashMap<_, _> =
            course.packets.iter().enumerate().map(|(place, each)| ((each.source, each.original), place)).collect();
        let codec = recordings[0].codec.codec;
        let (mut sent, mut by_body) = (Vec::<Sent>::new(), HashMap::<_, Vec<usize>>::new());
        for (source, recording) in recordings.iter().enumerate() {
            let mut highest = HashMap::new();
            let mut structures: HashMap<u32, Structure> = HashMap::new();
            for (original, packet) in recording.packets.iter().enumerate().filter(|(_, packet)| !packet.rtcp) {
                let header = Header::parse(&packet.data).expect("it was recorded");
                let encoding = recording.ssrcs.iter().position(|(media, _)| *media == header.ssrc);
                let payload_len = header.payload_len(&packet.data).expect("it was recorded");
                let Some(encoding) = encoding.filter(|_| payload_len > 0) else { continue };
                let payload = &packet.data[header.len..header.len + payload_len];
                let highest = highest.entry(header.ssrc).or_insert(u64::from(header.sequence));
                *highest = extend_sequence(*highest, header.sequence);
                let id = recording.extensions.dependency_descriptor;
                let descriptor = id.and_then(|id| header.extension(&packet.data, id));
                let glance = match descriptor {
                    Some(descriptor) => structures.entry(header.ssrc).or_default().glance(descriptor, header.marker),
                    None => glance(codec, payload, header.marker),
                }
                .expect("it was recorded");
                // H264 does not say whether a NAL unit is the first of its access unit.
                let previous =
                    sent.iter().rev().find(|other| (other.source, other.encoding) == (source, encoding as u8));
                let begins = glance.begins && previous.is_none_or(|previous| previous.ends);
                by_body.entry(body(codec, payload).to_vec()).or_default().push(sent.len());
                let place = places.get(&(source, original)).copied();
                sent.push(Sent {
                    source,
                    encoding: encoding as u8,
                    index: *highest,
                    timestamp: header.timestamp,
                    place,
                    at: place.map(|place| course.packets[place].at),
                    begins,
                    ends: glance.ends,
                    key: glance.key && begins,
                    spatial: glance.spatial,
                    temporal: glance.temporal,
                    numbers: glance.numbers,
                    described: descriptor.is_some(),
                });
            }
        }
        Self { codec, sent, by_body }
    }

    /// Targets that there are: every layer of every encoding of a source.
    pub fn targets(&self, source: usize) -> Vec<Target> {
        let mut targets: Vec<_> = self
            .sent
            .iter()
            .filter(|sent| sent.source == source)
            .map(|sent| Target { source, encoding: sent.encoding, spatial: sent.spatial, temporal: sent.temporal })
            .collect();
        targets.sort();
        targets.dedup();
        targets
    }
}

/// One packet that a viewer got, and which it was.
struct Got<'a> {
    heard: &'a Heard,
    header: Header,
    sent: &'a Sent,
    numbers: Numbers,
}

/// What was seen, for those who ask.
#[derive(Debug, Default)]
pub struct Summary {
    pub packets: usize,
    pub runs: usize,
    /// The last run's frames, by layers.
    pub layers: BTreeMap<(usize, u8, u8, u8), usize>,
    /// Every packet's place in the course: viewers of whom this is the same were shown the same.
    pub course: Vec<Option<usize>>,
}

macro_rules! insist {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

/// `lossless`: nothing was lost on any way.
pub fn examine(sources: &Sources, viewer: &Viewer, lossless: bool) -> Result<Summary, String> {
    let got = identify(sources, viewer)?;
    let mut summary = Summary { packets: got.len(), ..Summary::default() };
    let mut before: Option<&Got> = None;
    for each in &got {
        let (sent, index) = (each.sent, each.heard.index);
        // A pause, or another source, comes at once. What is not sent yet of a picture is given up then, and so it is when
        // another encoding begins: a picture that misses its end does not matter before a key frame.
        let is_cut = before.is_some_and(|before| {
            let since = before.sent.place..=sent.place;
            let paused = |step: &Step| step.target.is_none() && since.contains(&Some(step.before));
            before.sent.source != sent.source || sent.key && viewer.steps.iter().any(paused)
        });
        let is_new = is_cut || before.is_none_or(|before| before.sent.encoding != sent.encoding);
        if is_new {
            summary.runs += 1;
            summary.layers.clear();
            insist!(sent.key && sent.begins || !lossless, "{index}: begins in the middle");
        }
        if sent.begins {
            *summary.layers.entry((sent.source, sent.encoding, sent.spatial, sent.temporal)).or_default() += 1;
        }
        if let Some(before) = before {
            let gap = index - before.heard.index - 1;
            insist!(gap == 0 || !lossless, "{index}: {gap} numbers are missing before it");
            let step = each.header.timestamp.wrapping_sub(before.header.timestamp);
            insist!((step as i32) >= 0, "{index}: the timestamp goes back");
            if is_new {
                insist!(step > 0, "{index}: another encoding within a picture");
            } else {
                insist!(sent.index > before.sent.index, "{index}: packets in another order");
                let came = sent.timestamp.wrapping_sub(before.sent.timestamp);
                insist!(step == came, "{index}: {step} ticks instead of {came}");
                let ended = if lossless {
                    before.header.marker == (step > 0)
                } else {
                    step == 0 || gap > 0 || before.header.marker
                };
                insist!(ended, "{index}: a marker where no picture ends, or none where one does");
                insist!(gap == 0 || sent.index - before.sent.index > gap, "{index}: a hole for what was not sent");
            }
            if gap == 0 && lossless && !is_new {
                insist!(before.sent.ends == sent.begins, "{index}: a frame that is not whole");
            }
            numbers(sources.codec, before, each, is_new, lossless).map_err(|words| format!("{index}: {words}"))?;
        }
        before = Some(each);
    }
    if let (Some(last), true) = (viewer.steps.last(), lossless) {
        settled(sources, &got, last)?;
    }
    for each in &got {
        summary.course.push(each.sent.place);
    }
    Ok(summary)
}

fn identify<'a>(sources: &'a Sources, viewer: &'a Viewer) -> Result<Vec<Got<'a>>, String> {
    let mut got: Vec<Got<'a>> = Vec::with_capacity(viewer.heard.len());
    let mut structures = Structure::new();
    let mut heard: Vec<&Heard> = viewer.heard.iter().collect();
    heard.sort_by_key(|heard| heard.index);
    for heard in heard {
        let index = heard.index;
        let header = Header::parse(&heard.data).map_err(|drop| format!("{index}: {drop:?}"))?;
        let payload_len = header.payload_len(&heard.data).map_err(|drop| format!("{index}: {drop:?}"))?;
        if payload_len == 0 {
            continue; // a number that was kept free for what then was not for it
        }
        let payload = &heard.data[header.len..header.len + payload_len];
        let places = sources.by_body.get(body(sources.codec, payload)).ok_or(format!("{index}: nobody sent this"))?;
        let csrc = header.csrcs(&heard.data).next();
        // Parameter sets are the same each time: it is the one that goes on, else the newest of those that had come.
        let goes_on = |sent: &&Sent| {
            got.last().is_some_and(|last| {
                let of_same = (last.sent.source, last.sent.encoding) == (sent.source, sent.encoding);
                let step = header.timestamp.wrapping_sub(last.header.timestamp);
                of_same && sent.index > last.sent.index && sent.timestamp.wrapping_sub(last.sent.timestamp) == step
            })
        };
        let candidates = || places.iter().map(|place| &sources.sent[*place]);
        let newest = || candidates().rfind(|sent| sent.at.is_none_or(|at| at <= heard.at));
        // A publisher that probes may have repeated it even before.
        let sent = candidates().find(goes_on).or_else(newest).unwrap_or(&sources.sent[places[0]]);
        insist!(csrc == Some(crate::stage::csrc(sent.source)), "{index}: another's CSRC");
        let descriptor = viewer.ids.dependency_descriptor.and_then(|id| header.extension(&heard.data, id));
        insist!(
            descriptor.is_some() == (sent.described && viewer.ids.dependency_descriptor.is_some()),
            "{index}: a descriptor that is missing, or that nobody sent"
        );
        let glance = match descriptor {
            Some(descriptor) => structures.glance(descriptor, header.marker),
            None => glance(sources.codec, payload, header.marker),
        }
        .map_err(|drop| format!("{index}: {drop:?}"))?;
        got.push(Got { heard, header, sent, numbers: glance.numbers });
    }
    Ok(got)
}

/// PictureID, TL0PICIDX, KEYIDX and frame number go on.
fn numbers(codec: Codec, before: &Got, each: &Got, is_new: bool, lossless: bool) -> Result<(), String> {
    let (was, is) = (&before.numbers, &each.numbers);
    let (from, to) = (&before.sent.numbers, &each.sent.numbers);
    let mask = if is.long { 0x7FFF } else { 0x7F };
    let new_frame = each.sent.begins;
    // What got lost leaves a hole, and so do pictures that were given up, before a key frame.
    let most = if is_new || !lossless { 64 } else { 1 };
    // Where there is a dependency descriptor, payloads stay as they are, for those too who get them without it.
    let described = before.sent.described || each.sent.described;
    if let (Some(was), Some(is), false) = (was.picture, is.picture, described) {
        let step = is.wrapping_sub(was) & mask;
        let same_picture = !is_new && from.picture == to.picture;
        if same_picture {
            insist!(step == 0, "the PictureID changes within a picture");
        } else if is_new || codec == Codec::Vp8 {
            insist!((1..=most).contains(&step), "PictureID {was} → {is}");
        } else if let (Some(from), Some(to)) = (from.picture, to.picture) {
            insist!(step == to.wrapping_sub(from) & mask, "PictureID {was} → {is} for {from} → {to}");
        }
    }
    if let (Some(was), Some(is)) = (was.tl0, is.tl0) {
        let step = is.wrapping_sub(was);
        let came = to.tl0.zip(from.tl0).map_or(0, |(to, from)| to.wrapping_sub(from));
        insist!(if is_new { (1..=most).contains(&step.into()) } else { step == came }, "TL0PICIDX {was} → {is}");
    }
    if let (Some(was), Some(is)) = (was.key_index, is.key_index) {
        let step = is.wrapping_sub(was) & 0x1F;
        let came = to.key_index.zip(from.key_index).map_or(0, |(to, from)| to.wrapping_sub(from) & 0x1F);
        insist!(if is_new { (1..=most).contains(&step.into()) } else { step == came }, "KEYIDX {was} → {is}");
    }
    if let (Some(was), Some(is)) = (was.frame, is.frame) {
        let step = is.wrapping_sub(was);
        let came = to.frame.zip(from.frame).map_or(0, |(to, from)| to.wrapping_sub(from));
        let good = if is_new { step > 0 && step < 0x8000 } else { step == came };
        insist!(good || !new_frame && step == 0, "frame number {was} → {is}");
    }
    Ok(())
}

/// From the first key frame after the last change on, all that belongs to the target and nothing else.
fn settled(sources: &Sources, got: &[Got], last: &Step) -> Result<(), String> {
    let after = |place: Option<usize>, than: usize| place.is_some_and(|place| place >= than);
    let Some(target) = last.target else {
        let late = got.iter().find(|each| after(each.sent.place, last.before));
        insist!(late.is_none(), "something is shown in a pause");
        return Ok(());
    };
    let of_target = |sent: &Sent| (sent.source, sent.encoding) == (target.source, target.encoding);
    let key =
        sources.sent.iter().find(|sent| of_target(sent) && sent.key && sent.begins && after(sent.place, last.before));
    let Some(key) = key.and_then(|key| key.place) else { return Ok(()) };
    let belongs = |sent: &&Sent| {
        of_target(sent) && after(sent.place, key) && sent.spatial <= target.spatial && sent.temporal <= target.temporal
    };
    let wanted: Vec<_> = sources.sent.iter().filter(belongs).map(|sent| sent.place).collect();
    let late = |each: &&Got| after(each.sent.place, key);
    let shown: Vec<_> = got.iter().filter(late).map(|each| each.sent.place).collect();
    let missing = wanted.iter().find(|place| !shown.contains(place));
    let foreign = shown.iter().find(|place| !wanted.contains(place));
    insist!(missing.is_none() && foreign.is_none(), "{target:?} from {key}: missing {missing:?}, besides {foreign:?}");
    Ok(())
}
