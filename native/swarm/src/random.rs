/// Numbers that need to differ and not to be secret: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Seeded by OpenSSL.
    pub fn from_entropy() -> Random {
        let mut seed = [0; 8];
        openssl::rand::rand_bytes(&mut seed).expect("OpenSSL has a source of entropy");
        Random(u64::from_ne_bytes(seed))
    }

    /// The next.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// From 0 to 1, 1 left out.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `length` characters that RFC 8839 §5.4 calls ice-char.
    pub fn ice_chars(&mut self, length: usize) -> String {
        const CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..length).map(|_| char::from(CHARS[(self.number() % 64) as usize])).collect()
    }
}
