//! Reading bits.

use crate::drops::Drop;

/// Reads big-endian fields of any width. What is not there is [`Drop::Short`].
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// `f(count)`: a number of at most 32 bits.
    pub(super) fn read(&mut self, count: u32) -> Result<u32, Drop> {
        debug_assert!(count <= 32);
        let end = self.at + count as usize;
        if end > 8 * self.bytes.len() {
            return Err(Drop::Short);
        }
        let mut value = 0;
        while self.at < end {
            let (used, take) = (self.at % 8, (8 - self.at % 8).min(end - self.at));
            let byte = u32::from(self.bytes[self.at / 8]);
            value = value << take | byte >> (8 - used - take) & ((1 << take) - 1);
            self.at += take;
        }
        Ok(value)
    }

    /// `f(1)`.
    pub(super) fn flag(&mut self) -> Result<bool, Drop> {
        Ok(self.read(1)? == 1)
    }

    /// Past `count` bits.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Drop> {
        let end = self.at.checked_add(count).filter(|end| *end <= 8 * self.bytes.len());
        self.at = end.ok_or(Drop::Short)?;
        Ok(())
    }

    /// `ns(values)`: one of 0..`values`, which is 1..=64, in as few bits as possible (AV1 RTP A.8.2).
    pub(super) fn non_symmetric(&mut self, values: u32) -> Result<u32, Drop> {
        debug_assert!((1..=64).contains(&values));
        let width = u32::BITS - values.leading_zeros();
        let shorter = (1 << width) - values;
        let value = self.read(width - 1)?;
        if value < shorter { Ok(value) } else { Ok((value << 1) - shorter + self.read(1)?) }
    }

    /// `ue(v)`: an Exp-Golomb code (H.264 9.1) below 2³² - 1.
    pub(super) fn exp_golomb(&mut self) -> Result<u32, Drop> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Drop::Malformed);
            }
        }
        Ok((1 << zeros) - 1 + self.read(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_may_lie_across_bytes() {
        let mut bits = Bits::new(&[0b1011_0011, 0b0101_0101, 0xFF, 0x00, 0xAA]);
        assert_eq!(bits.read(3), Ok(0b101));
        assert_eq!(bits.read(0), Ok(0));
        assert_eq!(bits.read(9), Ok(0b1_0011_0101));
        assert_eq!(bits.flag(), Ok(false));
        assert_eq!(bits.read(27), Ok(0b101_1111_1111_0000_0000_1010_1010));
        assert_eq!(bits.read(1), Err(Drop::Short));
        assert_eq!(Bits::new(&[1, 2, 3, 4]).read(32), Ok(0x0102_0304));
    }

    #[test]
    fn five_values_take_two_or_three_bits() {
        for (code, value) in [("00", 0), ("01", 1), ("10", 2), ("110", 3), ("111", 4)] {
            let byte = u8::from_str_radix(code, 2).unwrap() << (8 - code.len());
            let mut bits = Bits::new(std::slice::from_ref(&byte));
            assert_eq!(bits.non_symmetric(5), Ok(value));
            assert_eq!(bits.at, code.len());
        }
        assert_eq!(Bits::new(&[]).non_symmetric(1), Ok(0));
    }

    #[test]
    fn exp_golomb_codes_are_read() {
        for (byte, value) in [(0b1000_0000, 0), (0b0100_0000, 1), (0b0110_0000, 2), (0b0010_0000, 3), (0b0011_1000, 6)]
        {
            assert_eq!(Bits::new(&[byte]).exp_golomb(), Ok(value));
        }
        assert_eq!(Bits::new(&[0; 8]).exp_golomb(), Err(Drop::Malformed));
        assert_eq!(Bits::new(&[0]).exp_golomb(), Err(Drop::Short));
    }

    proptest! {
        #[test]
        fn fields_are_the_bits_in_their_order(
            bytes in proptest::collection::vec(any::<u8>(), 0..20),
            widths in proptest::collection::vec(0u32..=32, 0..20),
        ) {
            let mut bits = Bits::new(&bytes);
            let mut at = 0;
            for width in widths {
                let end = at + width as usize;
                let expected = (end <= 8 * bytes.len())
                    .then(|| (at..end).fold(0u64, |value, bit| value << 1 | u64::from(bytes[bit / 8] >> (7 - bit % 8) & 1)));
                prop_assert_eq!(bits.read(width).ok().map(u64::from), expected);
                if expected.is_some() {
                    at = end;
                }
            }
        }

        #[test]
        fn what_is_read_is_one_of_the_values(bytes: [u8; 2], values in 1u32..=64) {
            prop_assert!(Bits::new(&bytes).non_symmetric(values).unwrap() < values);
        }

        #[test]
        fn no_bytes_make_an_exp_golomb_code_panic(bytes: [u8; 9]) {
            let _ = Bits::new(&bytes).exp_golomb();
        }
    }
}
