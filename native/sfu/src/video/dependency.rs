//! The dependency descriptor (RTP Payload Format For AV1, appendix A): a header extension that says of every frame, whatever
//! its codec and encrypted or not, what builds on it.

use super::bits::Bits;
use super::glance::{Glance, Numbers};
use super::layers::Layers;
use crate::drops::Drop;

/// As many as six bits of template id can tell apart.
const MAX_TEMPLATES: usize = 64;

/// As many as five bits of count can say.
const MAX_TARGETS: usize = 32;

/// How many frames back a frame's layer is known. Structures in use reach 16 back.
const HISTORY: u16 = 64;

/// A descriptor at most so many frames older than the newest is late, and tells nothing new of the stream: packets are sent
/// again within a second or two. One that is older still begins the numbers anew.
const LATE: u16 = 1024;

/// The most numbers of its own that a frame may bring.
const MAX_CUSTOM_FDIFFS: usize = 32;

/// What a frame is for each decode target, a bit for each.
#[derive(Clone, Copy, Debug, Default)]
struct Indications {
    /// Not "not present".
    present: u32,
    /// Switch indication.
    switch: u32,
}

impl Indications {
    fn read(bits: &mut Bits<'_>, targets: usize) -> Result<Self, Drop> {
        let mut indications = Self::default();
        for target in 0..targets {
            let value = bits.read(2)?;
            indications.present |= u32::from(value != 0) << target;
            indications.switch |= u32::from(value == 2) << target;
        }
        Ok(indications)
    }
}

/// What many frames have in common.
#[derive(Clone, Copy, Debug, Default)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: Indications,
    /// Bit `n - 1`: it refers to the frame `n` before it, 1..=16.
    fdiffs: u16,
}

/// A template_dependency_structure.
#[derive(Clone, Debug)]
struct Templates {
    offset: u8,
    count: usize,
    all: [Template; MAX_TEMPLATES],
    targets: usize,
    /// (spatial, temporal) of each decode target.
    layers: [(u8, u8); MAX_TARGETS],
    chains: usize,
    resolutions: [Option<(u16, u16)>; Layers::SIDE as usize],
}

impl Templates {
    fn read(bits: &mut Bits<'_>) -> Result<Self, Drop> {
        let mut templates = Self {
            offset: bits.read(6)? as u8,
            count: 0,
            all: [Template::default(); MAX_TEMPLATES],
            targets: bits.read(5)? as usize + 1,
            layers: [(0, 0); MAX_TARGETS],
            chains: 0,
            resolutions: [None; Layers::SIDE as usize],
        };
        let spatial = templates.read_layers(bits)?;
        let targets = templates.targets;
        for template in &mut templates.all[..templates.count] {
            template.indications = Indications::read(bits, targets)?;
        }
        for template in &mut templates.all[..templates.count] {
            while bits.flag()? {
                template.fdiffs |= 1 << bits.read(4)?;
            }
        }
        templates.read_chains(bits)?;
        templates.place_targets();
        if bits.flag()? {
            for resolution in &mut templates.resolutions[..=usize::from(spatial)] {
                let (width, height) = (bits.read(16)? as u16, bits.read(16)? as u16);
                *resolution = Some((width.saturating_add(1), height.saturating_add(1)));
            }
        }
        Ok(templates)
    }

    /// Returns the highest spatial layer.
    fn read_layers(&mut self, bits: &mut Bits<'_>) -> Result<u8, Drop> {
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            let template = self.all.get_mut(self.count).ok_or(Drop::Malformed)?;
            (template.spatial, template.temporal) = (spatial, temporal);
            self.count += 1;
            match bits.read(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => return Ok(spatial),
            }
            if spatial >= Layers::SIDE || temporal >= Layers::SIDE {
                return Err(Drop::Malformed);
            }
        }
    }

    /// Nothing is decided by chains here: receivers see by them what they miss.
    fn read_chains(&mut self, bits: &mut Bits<'_>) -> Result<(), Drop> {
        let chains = bits.non_symmetric(self.targets as u32 + 1)?;
        self.chains = chains as usize;
        if chains > 0 {
            for _ in 0..self.targets {
                bits.non_symmetric(chains)?;
            }
            bits.skip(4 * self.count * self.chains)?;
        }
        Ok(())
    }

    /// decode_target_layers().
    fn place_targets(&mut self) {
        for (target, (spatial, temporal)) in self.layers[..self.targets].iter_mut().enumerate() {
            for template in &self.all[..self.count] {
                if template.indications.present >> target & 1 == 1 {
                    *spatial = (*spatial).max(template.spatial);
                    *temporal = (*temporal).max(template.temporal);
                }
            }
        }
    }

    fn template(&self, id: u8) -> Result<&Template, Drop> {
        let index = usize::from((id + 64 - self.offset) % 64);
        self.all[..self.count].get(index).ok_or(Drop::Malformed)
    }

    /// Layers of those decode targets of which `active` has the bit.
    fn active_layers(&self, active: u32) -> Layers {
        (0..self.targets).filter(|target| active >> target & 1 == 1).map(|target| self.layers[target]).collect()
    }

    /// For every layer, the decode targets that it stands for. A layer for which there is none that is active stands for
    /// those of the next lower spatial layer, else of the next lower temporal one; or else for none.
    fn targets_of_layers(&self, active: u32) -> [u32; 16] {
        let offered = self.active_layers(active);
        let mut targets = [0; 16];
        for (spatial, temporal) in Layers::ALL.iter() {
            let stands_for = offered.iter().rfind(|layer| layer.0 <= spatial && layer.1 <= temporal);
            targets[index(spatial, temporal)] = (0..self.targets)
                .filter(|target| active >> target & 1 == 1 && Some(self.layers[*target]) == stands_for)
                .fold(0, |mask, target| mask | 1 << target);
        }
        targets
    }
}

fn index(spatial: u8, temporal: u8) -> usize {
    usize::from(spatial * Layers::SIDE + temporal)
}

/// What the descriptors of one encoding have said so far: the newest template structure, which decode targets are active, who
/// needs the last frames. Of a fixed size.
#[derive(Clone, Debug, Default)]
pub struct Structure {
    templates: Option<Templates>,
    active: u32,
    /// The decode targets of each layer, by `templates` and `active`.
    targets: [u32; 16],
    newest: Option<u16>,
    history: History,
}

/// Number and needed layers of the last frames.
#[derive(Clone, Debug)]
struct History([Option<(u16, Layers)>; HISTORY as usize]);

impl Default for History {
    fn default() -> Self {
        Self([None; HISTORY as usize])
    }
}

impl History {
    fn insert(&mut self, frame: u16, needed: Layers) {
        self.0[usize::from(frame % HISTORY)] = Some((frame, needed));
    }

    fn get(&self, frame: u16) -> Option<Layers> {
        self.0[usize::from(frame % HISTORY)].filter(|known| known.0 == frame).map(|known| known.1)
    }
}

impl Structure {
    /// Nothing is known before the first key frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Look at a packet's descriptor. [`Drop::Malformed`] also if its frame refers to a structure that has not come: it can
    /// not be decoded without it either. Never panics, on any input.
    pub fn glance(&mut self, descriptor: &[u8], marker: bool) -> Result<Glance, Drop> {
        let head: &[u8; 3] = descriptor.first_chunk().ok_or(Drop::Short)?;
        let frame = u16::from_be_bytes([head[1], head[2]]);
        let late = self.newest.is_some_and(|newest| (1..=LATE).contains(&newest.wrapping_sub(frame)));

        let mut bits = Bits::new(&descriptor[3..]);
        let mut extended = [false; 5];
        if descriptor.len() > 3 {
            for flag in &mut extended {
                *flag = bits.flag()?;
            }
        }
        let [has_structure, has_active, custom_indications, custom_fdiffs, custom_chains] = extended;
        let brought = if has_structure { Some(Templates::read(&mut bits)?) } else { None };
        let templates = brought.as_ref().or(self.templates.as_ref()).ok_or(Drop::Malformed)?;
        let mut active = brought.is_some().then_some(u32::MAX >> (MAX_TARGETS - templates.targets));
        if has_active {
            active = Some(bits.read(templates.targets as u32)?);
        }
        let template = *templates.template(head[0] & 0x3F)?;
        let indications =
            if custom_indications { Indications::read(&mut bits, templates.targets)? } else { template.indications };
        let fdiffs = if custom_fdiffs { Fdiffs::read(&mut bits)? } else { Fdiffs::of(&template) };
        if custom_chains {
            bits.skip(8 * templates.chains)?;
        }

        let targets = active.map_or(self.targets, |active| templates.targets_of_layers(active));
        let (spatial, temporal) = (template.spatial, template.temporal);
        let needed = needed(&targets, indications, spatial, temporal);
        let begins = head[0] & 0x80 != 0;
        let key = begins && has_structure && fdiffs.count == 0;
        let glance = Glance {
            begins,
            ends: head[0] & 0x40 != 0 || marker,
            key,
            spatial,
            temporal,
            switch: if key { Layers::ALL } else { switch(&targets, indications) },
            needed,
            open: self.open(frame, &fdiffs, spatial, temporal),
            pictures: None,
            whole: true,
            numbers: Numbers { frame: Some(frame), ..Numbers::default() },
        };

        if !late {
            self.newest = Some(frame);
            if let Some(active) = active {
                (self.active, self.targets) = (active, targets);
            }
            if let Some(brought) = brought {
                self.templates = Some(brought);
            }
        }
        self.history.insert(frame, needed);
        Ok(glance)
    }

    /// Who has all that this frame refers to. Of what is not known any more, it is taken that only those have it who need
    /// this frame's layer.
    fn open(&self, frame: u16, fdiffs: &Fdiffs, spatial: u8, temporal: u8) -> Layers {
        fdiffs.iter().fold(Layers::ALL, |open, fdiff| {
            let known = self.history.get(frame.wrapping_sub(fdiff));
            open & known.unwrap_or(Layers::above(spatial, temporal))
        })
    }

    /// active_decode_targets_bitmask as it was last said or implied: bit `i` is decode target `i`. `None` before there is a
    /// structure.
    pub fn active(&self) -> Option<u32> {
        self.templates.as_ref().map(|_| self.active)
    }

    /// The layers that are sent now: those of the active decode targets.
    pub fn layers(&self) -> Layers {
        self.templates.as_ref().map_or(Layers::NONE, |templates| templates.active_layers(self.active))
    }

    /// Width and height of a spatial layer in pixels, if the structure says it.
    pub fn resolution(&self, spatial: u8) -> Option<(u16, u16)> {
        *self.templates.as_ref()?.resolutions.get(usize::from(spatial))?
    }
}

/// How far back a frame refers.
struct Fdiffs {
    all: [u16; MAX_CUSTOM_FDIFFS],
    count: usize,
}

impl Fdiffs {
    fn of(template: &Template) -> Self {
        let mut fdiffs = Self { all: [0; MAX_CUSTOM_FDIFFS], count: 0 };
        for bit in (0..16).filter(|bit| template.fdiffs >> bit & 1 == 1) {
            fdiffs.all[fdiffs.count] = bit + 1;
            fdiffs.count += 1;
        }
        fdiffs
    }

    /// frame_fdiffs().
    fn read(bits: &mut Bits<'_>) -> Result<Self, Drop> {
        let mut fdiffs = Self { all: [0; MAX_CUSTOM_FDIFFS], count: 0 };
        loop {
            let size = bits.read(2)?;
            if size == 0 {
                return Ok(fdiffs);
            }
            *fdiffs.all.get_mut(fdiffs.count).ok_or(Drop::Malformed)? = bits.read(4 * size)? as u16 + 1;
            fdiffs.count += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.all[..self.count].iter().copied()
    }
}

/// Layers in one of whose decode targets the frame is. For a layer that stands for none, those above the frame's own.
fn needed(targets: &[u32; 16], indications: Indications, spatial: u8, temporal: u8) -> Layers {
    let above = Layers::above(spatial, temporal);
    Layers::ALL
        .iter()
        .filter(|layer| match targets[index(layer.0, layer.1)] {
            0 => above.contains(layer.0, layer.1),
            targets => indications.present & targets != 0,
        })
        .collect()
}

/// Layers all of whose decode targets the frame has a switch indication for.
fn switch(targets: &[u32; 16], indications: Indications) -> Layers {
    Layers::ALL
        .iter()
        .filter(|layer| {
            let targets = targets[index(layer.0, layer.1)];
            targets != 0 && indications.switch & targets == targets
        })
        .collect()
}

/// Write frame_number into a descriptor.
pub fn set_frame_number(descriptor: &mut [u8], frame: u16) {
    if let Some(number) = descriptor.get_mut(1..3) {
        number.copy_from_slice(&frame.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
