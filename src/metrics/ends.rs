//! Ends of a bus's partitions at one moment, in some bytes each.

use super::damage::Damaged;
use super::wire::{self, Read};

/// Bytes of ends by partition.
#[must_use]
pub fn encode(ends: impl Iterator<Item = (i64, i64)>) -> Vec<u8> {
    let mut sorted: Vec<(i64, i64)> = ends.collect();
    sorted.sort_unstable();
    let (mut out, mut last) = (Vec::with_capacity(sorted.len() * 5), 0);
    for (partition, end) in sorted {
        wire::put_signed(&mut out, partition - last);
        wire::put_signed(&mut out, end);
        last = partition;
    }
    out
}

/// Reads what [`encode`] wrote.
pub fn decode(bytes: &[u8]) -> Result<Vec<(i64, i64)>, Damaged> {
    let (mut read, mut ends, mut last) = (Read(bytes), Vec::new(), 0_i64);
    while !read.is_empty() {
        last = last.checked_add(read.signed()?).ok_or(Damaged)?;
        ends.push((last, read.signed()?));
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ends_come_back_from_their_bytes(ends in prop::collection::hash_map(-5_i64..100_000, 0_i64..1 << 50, 0..200)) {
            let again: HashMap<i64, i64> = decode(&encode(ends.iter().map(|(id, end)| (*id, *end)))).expect("was written so").into_iter().collect();
            prop_assert_eq!(again, ends);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
