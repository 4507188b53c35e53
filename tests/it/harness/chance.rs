//! Moments and choices at random, which come again with the same seed.

use redrive::model::Timestamp;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// How many kills at random `REDRIVE_KILLS` asks for, or so few.
pub(crate) fn kills(few: usize) -> usize {
    number("REDRIVE_KILLS").map_or(few, |kills| usize::try_from(kills).expect("a number of kills"))
}

/// Numbers that look random.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Another one with every run, unless `REDRIVE_SEED` names it; says which.
    pub(crate) fn new() -> Self {
        let seed = number("REDRIVE_SEED").unwrap_or_else(|| Timestamp::now().as_millis().unsigned_abs());
        eprintln!("REDRIVE_SEED={seed} draws the same moments and choices");
        Self(seed)
    }

    /// From 0 to below `bound`: `SplitMix64`.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
