//! A receiver of a part of a stream.

use super::super::Glance;

/// A frame in one packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Places in the stream of the frames that it refers to.
    pub references: Vec<usize>,
    pub glance: Glance,
}

/// Which frames a receiver is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Those whose spatial and temporal layer are not above its own. It goes down whenever it wants.
    NotAbove,
    /// Those that its layer needs. It goes down in temporal layers whenever it wants, in spatial ones with a key frame.
    Needed,
}

/// Send a stream to somebody who wants `wanted` of a frame's place. Returns its layers after each frame, or what it could not
/// decode.
pub fn watch(stream: &[Packet], rule: Rule, wanted: impl Fn(usize) -> (u8, u8)) -> Result<Vec<(u8, u8)>, String> {
    let mut sent = vec![false; stream.len()];
    let mut current: Option<(u8, u8)> = None;
    let mut layers = vec![];
    for (at, Packet { references, glance }) in stream.iter().enumerate() {
        let wanted = wanted(at);
        current = match current {
            None => glance.key.then_some(wanted),
            Some(_) if glance.key => Some(wanted),
            Some((spatial, temporal)) => {
                let fallen = if rule == Rule::NotAbove { spatial.min(wanted.0) } else { spatial };
                Some(glance.rise((fallen, temporal.min(wanted.1)), wanted))
            }
        };
        if let Some(current) = current {
            let needs = match rule {
                Rule::NotAbove => glance.spatial <= current.0 && glance.temporal <= current.1,
                Rule::Needed => glance.needed.contains(current.0, current.1),
            };
            sent[at] = needs;
            if let Some(missing) = references.iter().find(|reference| needs && !sent[**reference]) {
                return Err(format!("frame {at} is sent without frame {missing} at layers {current:?}"));
            }
            layers.push(current);
        }
    }
    Ok(layers)
}
