//! Signatures of blocks: a set of the four-byte sequences of some texts, as bits of their hashes. A word of which one sequence is
//! missing does not occur in the block. The more texts repeat each other, the smaller a signature can be.

use super::words::{Words, lower_into};

/// Bits while a signature is being made: what a block of very different texts needs.
const MOST_BITS: usize = 1 << 18;
/// Bits of the smallest signature.
const FEWEST_BITS: usize = 1 << 10;
/// A signature is folded in half as long as at most this share of its bits is set, in hundredths.
const DENSITY: usize = 40;

fn bit_of(gram: [u8; 4]) -> usize {
    let product = u64::from(u32::from_le_bytes(gram)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (product >> 32) as usize & (MOST_BITS - 1)
}

/// Makes signatures; keeps its buffers.
pub(in crate::store) struct Builder {
    bits: Vec<u64>,
    lower: Vec<u8>,
}

impl Builder {
    pub(in crate::store) fn new() -> Self {
        Self { bits: vec![0; MOST_BITS / 64], lower: Vec::new() }
    }

    /// Adds a text.
    pub(in crate::store) fn add(&mut self, text: &[u8]) {
        self.lower.clear();
        lower_into(&mut self.lower, text);
        for gram in self.lower.windows(4) {
            let bit = bit_of([gram[0], gram[1], gram[2], gram[3]]);
            self.bits[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// The signature of the texts added since the last one; empty when it would tell nothing.
    pub(in crate::store) fn finish(&mut self) -> Vec<u8> {
        let mut bits = std::mem::replace(&mut self.bits, vec![0; MOST_BITS / 64]);
        let set = |bits: &[u64]| bits.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        if set(&bits) * 100 > MOST_BITS * 80 {
            return Vec::new();
        }
        while bits.len() * 64 > FEWEST_BITS {
            let (low, high) = bits.split_at(bits.len() / 2);
            let folded: Vec<u64> = low.iter().zip(high).map(|(low, high)| low | high).collect();
            if set(&folded) * 100 > folded.len() * 64 * DENSITY {
                break;
            }
            bits = folded;
        }
        bits.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

/// Whether the words may occur in a block with this signature.
pub(in crate::store) fn may_hold(signature: &[u8], grams: &Grams) -> bool {
    let bits = signature.len() * 8;
    bits == 0 || !bits.is_power_of_two() || grams.0.iter().all(|bit| signature[(bit & (bits - 1)) / 8] & (1 << (bit % 8)) != 0)
}

/// The bits that the words of a search need.
pub(in crate::store) struct Grams(Vec<usize>);

impl Grams {
    pub(in crate::store) fn of(words: &Words) -> Self {
        let mut bits: Vec<usize> =
            words.iter().flat_map(|word| word.windows(4)).map(|gram| bit_of([gram[0], gram[1], gram[2], gram[3]])).collect();
        bits.sort_unstable();
        bits.dedup();
        Self(bits)
    }

    /// Whether all words are too short for signatures.
    pub(in crate::store) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_never_denies_a_word_that_it_holds_and_mostly_denies_others() {
        let mut builder = Builder::new();
        for n in 0..64 {
            builder.add(format!("{{\"order\":\"{:08}\",\"customer\":\"Müller-{n}\"}}", n * 7_919).as_bytes());
        }
        let signature = builder.finish();
        assert!(signature.len() < 4_096, "texts that repeat each other need little: {}", signature.len());
        let holds = |q: &str| may_hold(&signature, &Grams::of(&Words::parse(q).expect("words")));
        (0..64).for_each(|n| assert!(holds(&format!("{:08} MÜLLER-{n}", n * 7_919))));
        assert!(holds("abc"), "too short to tell");
        assert!(!holds("shipment"));
        assert!(may_hold(&[], &Grams::of(&Words::parse("anything").expect("words"))));
    }
}
