//! Dependency descriptors, written bit by bit.

/// One template: spatial and temporal layer, fdiffs, chain fdiffs, decode target indications.
type Template = (u8, u8, &'static [u16], &'static [u8], &'static str);

/// A frame dependency structure as a table has it, and how its stream goes.
pub struct Table {
    pub templates: &'static [Template],
    pub protected_by: &'static [u32],
    /// The template indexes of each picture, from a key picture on.
    pub begin: &'static [&'static [usize]],
    /// And of those that follow, over and over.
    pub cycle: &'static [&'static [usize]],
}

/// Two temporal layers.
pub const L1T2: Table = Table {
    templates: &[(0, 0, &[], &[0], "SS"), (0, 0, &[2], &[2], "SS"), (0, 1, &[1], &[1], "-D")],
    protected_by: &[0, 0],
    begin: &[&[0]],
    cycle: &[&[2], &[1]],
};

/// AV1 RTP A.10.2.1. There as here, the highest decode target is the first.
pub const L1T3: Table = Table {
    templates: &[
        (0, 0, &[], &[0], "SSS"),
        (0, 0, &[4], &[4], "SSS"),
        (0, 1, &[2], &[2], "SD-"),
        (0, 2, &[1], &[1], "D--"),
        (0, 2, &[1], &[3], "D--"),
    ],
    protected_by: &[0, 0, 0],
    begin: &[&[0]],
    cycle: &[&[3], &[2], &[4], &[1]],
};

/// Two spatial layers that meet in key pictures only, each with two temporal ones; the lowest decode target is the first.
pub const L2T2_KEY: Table = Table {
    templates: &[
        (0, 0, &[], &[0, 0], "SSSS"),
        (0, 0, &[4], &[4, 3], "SS--"),
        (0, 1, &[2], &[2, 1], "-D--"),
        (1, 0, &[1], &[1, 1], "--SS"),
        (1, 0, &[4], &[1, 4], "--SS"),
        (1, 1, &[2], &[3, 2], "---D"),
    ],
    protected_by: &[0, 0, 1, 1],
    begin: &[&[0, 3]],
    cycle: &[&[2, 5], &[1, 4]],
};

/// AV1 RTP A.10.2.2.
pub const L3T3: Table = Table {
    templates: &[
        (0, 0, &[], &[0, 0, 0], "SSSSSSSSS"),
        (0, 0, &[12], &[12, 11, 10], "RRRRRRSSS"),
        (0, 1, &[6], &[6, 5, 4], "RR-RR-SD-"),
        (0, 2, &[3], &[3, 2, 1], "R--R--D--"),
        (0, 2, &[3], &[9, 8, 7], "R--R--D--"),
        (1, 0, &[1], &[1, 1, 1], "SSSSSS---"),
        (1, 0, &[12, 1], &[1, 1, 1], "RRRSSS---"),
        (1, 1, &[6, 1], &[7, 6, 5], "RR-SD----"),
        (1, 2, &[3, 1], &[4, 3, 2], "R--D-----"),
        (1, 2, &[3, 1], &[10, 9, 8], "R--D-----"),
        (2, 0, &[1], &[2, 1, 1], "SSS------"),
        (2, 0, &[12, 1], &[2, 1, 1], "SSS------"),
        (2, 1, &[6, 1], &[8, 7, 6], "SD-------"),
        (2, 2, &[3, 1], &[5, 4, 3], "D--------"),
        (2, 2, &[3, 1], &[11, 10, 9], "D--------"),
    ],
    protected_by: &[2, 2, 2, 1, 1, 1, 0, 0, 0],
    begin: &[&[0, 5, 10]],
    cycle: &[&[3, 8, 13], &[2, 7, 12], &[4, 9, 14], &[1, 6, 11]],
};

/// AV1 RTP A.10.2.3.
pub const L3T3_KEY_SHIFT: Table = Table {
    templates: &[
        (0, 0, &[], &[0, 0, 0], "SSSSSSSSS"),
        (0, 0, &[3], &[3, 2, 1], "------SSS"),
        (0, 0, &[12], &[12, 8, 1], "------SSS"),
        (0, 1, &[6], &[6, 2, 7], "------SD-"),
        (0, 2, &[3], &[3, 5, 4], "------D--"),
        (0, 2, &[3], &[9, 5, 10], "------D--"),
        (0, 2, &[3], &[3, 11, 4], "------D--"),
        (1, 0, &[1], &[1, 1, 1], "SSSSSS---"),
        (1, 0, &[6], &[4, 6, 5], "---SSS---"),
        (1, 0, &[12], &[4, 12, 5], "---SSS---"),
        (1, 1, &[6], &[10, 6, 11], "---SD----"),
        (1, 2, &[3], &[1, 3, 2], "---D-----"),
        (1, 2, &[3], &[7, 3, 8], "---D-----"),
        (1, 2, &[3], &[1, 9, 2], "---D-----"),
        (2, 0, &[1], &[2, 1, 1], "SSS------"),
        (2, 0, &[12], &[11, 7, 12], "SSS------"),
        (2, 1, &[6], &[5, 1, 6], "SD-------"),
        (2, 2, &[3], &[2, 4, 3], "D--------"),
        (2, 2, &[3], &[8, 4, 9], "D--------"),
        (2, 2, &[3], &[2, 10, 3], "D--------"),
    ],
    protected_by: &[2, 2, 2, 1, 1, 1, 0, 0, 0],
    begin: &[&[0, 7, 14], &[1, 11, 17], &[4, 8, 16]],
    cycle: &[&[3, 12, 18], &[5, 10, 15], &[2, 13, 19], &[6, 9, 16]],
};

/// What a descriptor may bring beyond its three bytes.
#[derive(Clone, Copy, Default)]
pub struct Extended<'a> {
    pub structure: Option<&'a Table>,
    pub resolutions: &'a [(u16, u16)],
    pub active: Option<u32>,
    pub indications: Option<&'a str>,
    pub fdiffs: Option<&'a [u16]>,
    pub chains: Option<&'a [u8]>,
}

/// First and last packet of its frame at once.
pub const WHOLE: u8 = 0xC0;

impl Table {
    /// A frame by template `template` in one packet.
    pub fn descriptor(&self, template: usize, frame: u16, extended: &Extended<'_>) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.write(8, u32::from(WHOLE) | Self::id(template));
        bits.write(16, u32::from(frame));
        let flags = [
            extended.structure.is_some(),
            extended.active.is_some(),
            extended.indications.is_some(),
            extended.fdiffs.is_some(),
            extended.chains.is_some(),
        ];
        if flags.contains(&true) {
            flags.into_iter().for_each(|flag| bits.write(1, u32::from(flag)));
        }
        if let Some(table) = extended.structure {
            table.write(&mut bits, extended.resolutions);
        }
        if let Some(active) = extended.active {
            bits.write(self.protected_by.len() as u32, active);
        }
        if let Some(indications) = extended.indications {
            bits.indications(indications);
        }
        if let Some(fdiffs) = extended.fdiffs {
            for fdiff in fdiffs {
                let size = if *fdiff <= 16 { 1 } else { 1 + u32::from(*fdiff > 1) + u32::from(*fdiff > 256) };
                bits.write(2, size);
                bits.write(4 * size, u32::from(fdiff - 1));
            }
            bits.write(2, 0);
        }
        if let Some(chains) = extended.chains {
            chains.iter().for_each(|chain| bits.write(8, u32::from(*chain)));
        }
        bits.bytes
    }

    /// Ids go round: template 0 has id 60.
    fn id(template: usize) -> u32 {
        (60 + template as u32) % 64
    }

    fn write(&self, bits: &mut BitWriter, resolutions: &[(u16, u16)]) {
        let targets = self.protected_by.len() as u32;
        bits.write(6, Self::id(0));
        bits.write(5, targets - 1);
        for pair in self.templates.windows(2) {
            bits.write(2, if pair[1].0 > pair[0].0 { 2 } else { u32::from(pair[1].1 - pair[0].1) });
        }
        bits.write(2, 3);
        for template in self.templates {
            bits.indications(template.4);
        }
        for template in self.templates {
            for fdiff in template.2 {
                bits.write(1, 1);
                bits.write(4, u32::from(fdiff - 1));
            }
            bits.write(1, 0);
        }
        let chains = self.templates[0].3.len() as u32;
        bits.non_symmetric(targets + 1, chains);
        if chains > 0 {
            self.protected_by.iter().for_each(|chain| bits.non_symmetric(chains, *chain));
            for chain in self.templates.iter().flat_map(|template| template.3) {
                bits.write(4, u32::from(*chain));
            }
        }
        bits.write(1, u32::from(!resolutions.is_empty()));
        for (width, height) in resolutions {
            bits.write(16, u32::from(width - 1));
            bits.write(16, u32::from(height - 1));
        }
    }
}

/// Bits in the order of [`super::super::bits::Bits`].
#[derive(Default)]
pub struct BitWriter {
    pub bytes: Vec<u8>,
    len: usize,
}

impl BitWriter {
    pub fn write(&mut self, count: u32, value: u32) {
        for bit in (0..count).rev() {
            if self.len.is_multiple_of(8) {
                self.bytes.push(0);
            }
            self.bytes[self.len / 8] |= ((value >> bit & 1) as u8) << (7 - self.len % 8);
            self.len += 1;
        }
    }

    /// An Exp-Golomb code.
    pub fn exp_golomb(&mut self, value: u32) {
        let code = value + 1;
        let width = u32::BITS - code.leading_zeros();
        self.write(width - 1, 0);
        self.write(width, code);
    }

    fn indications(&mut self, symbols: &str) {
        symbols.chars().for_each(|symbol| self.write(2, "-DSR".find(symbol).expect("one of four") as u32));
    }

    /// write_ns() of A.8.2.
    fn non_symmetric(&mut self, values: u32, value: u32) {
        let width = u32::BITS - values.leading_zeros();
        let shorter = (1 << width) - values;
        if value < shorter { self.write(width - 1, value) } else { self.write(width, value + shorter) }
    }
}
