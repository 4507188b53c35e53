//! How bytes are damaged: bits turned, cut, taken out, doubled, taken from another entry, lengths that lie, and nesting without an end.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

/// No input is longer.
const LONGEST: usize = 128 << 10;

/// Valid inputs, and what is put between their bytes.
#[derive(Debug, Clone)]
pub(super) struct Corpus {
    entries: Arc<Vec<Vec<u8>>>,
    tokens: Arc<Vec<Vec<u8>>>,
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, u8),
    Double(Index, u16),
    /// From this place of another entry on, put in at that place.
    Splice(Index, Index, Index),
    /// A number in the form of a protobuf length.
    Length(Index, u64),
    /// A number in digits.
    Digits(Index, i128),
    Token(Index, Index, u16),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    let lengths =
        prop_oneof![Just(0), Just(1), Just(127), Just(128), Just(u64::from(u32::MAX)), Just(1 << 31), Just(1 << 63), any::<u64>()];
    let digits = prop_oneof![
        Just(-1),
        Just(0),
        Just(i128::from(i32::MAX) + 1),
        Just(i128::from(i64::MAX)),
        Just(i128::from(i64::MIN)),
        Just(i128::from(u64::MAX)),
        any::<i128>()
    ];
    prop_oneof![
        4 => (index(), 0_u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        3 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => index().prop_map(Mutation::Cut),
        2 => (index(), any::<u8>()).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (index(), 1_u16..2_000).prop_map(|(at, count)| Mutation::Double(at, count)),
        2 => (index(), index(), index()).prop_map(|(entry, from, at)| Mutation::Splice(entry, from, at)),
        2 => (index(), lengths).prop_map(|(at, length)| Mutation::Length(at, length)),
        2 => (index(), digits).prop_map(|(at, number)| Mutation::Digits(at, number)),
        3 => (index(), index(), 1_u16..4).prop_map(|(token, at, times)| Mutation::Token(token, at, times)),
        1 => (index(), index(), 4_u16..6_000).prop_map(|(token, at, times)| Mutation::Token(token, at, times)),
    ]
}

impl Corpus {
    pub(super) fn new<E: Into<Vec<u8>>, T: Into<Vec<u8>>>(
        entries: impl IntoIterator<Item = E>,
        tokens: impl IntoIterator<Item = T>,
    ) -> Self {
        let entries = entries.into_iter().map(Into::into).collect();
        Self { entries: Arc::new(entries), tokens: Arc::new(tokens.into_iter().map(Into::into).collect()) }
    }

    pub(super) fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// An entry with some damage.
    pub(super) fn damaged(&self) -> impl Strategy<Value = Vec<u8>> + use<> {
        let corpus = self.clone();
        let damage = (any::<Index>(), proptest::collection::vec(mutation(), 1..7));
        damage.prop_map(move |(entry, mutations)| {
            let begin = entry.get(&corpus.entries).clone();
            mutations.iter().fold(begin, |bytes, mutation| corpus.apply(bytes, mutation))
        })
    }

    fn apply(&self, mut bytes: Vec<u8>, mutation: &Mutation) -> Vec<u8> {
        let places = bytes.len() + 1;
        let at = |index: &Index| index.index(places);
        let put = |bytes: &mut Vec<u8>, place: usize, new: &[u8]| {
            bytes.splice(place..place, new.iter().copied());
        };
        match mutation {
            Mutation::Flip(index, bit) if !bytes.is_empty() => {
                let place = index.index(bytes.len());
                bytes[place] ^= 1 << bit;
            }
            Mutation::Set(index, byte) if !bytes.is_empty() => {
                let place = index.index(bytes.len());
                bytes[place] = *byte;
            }
            Mutation::Cut(index) => bytes.truncate(at(index)),
            Mutation::Remove(index, count) => {
                let from = at(index);
                bytes.drain(from..(from + usize::from(*count)).min(bytes.len()));
            }
            Mutation::Double(index, count) => {
                let from = at(index);
                let part = bytes[from..(from + usize::from(*count)).min(bytes.len())].to_vec();
                put(&mut bytes, from, &part);
            }
            Mutation::Splice(entry, from, index) => {
                let (place, other) = (at(index), entry.get(&self.entries));
                put(&mut bytes, place, &other[from.index(other.len() + 1)..]);
            }
            Mutation::Length(index, length) => {
                let place = at(index);
                let length = varint(*length);
                bytes.splice(place..(place + 1).min(bytes.len()), length);
            }
            Mutation::Digits(index, number) => {
                let place = at(index);
                put(&mut bytes, place, number.to_string().as_bytes());
            }
            Mutation::Token(token, index, times) if !self.tokens.is_empty() => {
                let place = at(index);
                put(&mut bytes, place, &token.get(&self.tokens).repeat(usize::from(*times)));
            }
            // There is nothing to change, or nothing to put.
            Mutation::Flip(..) | Mutation::Set(..) | Mutation::Token(..) => {}
        }
        bytes.truncate(LONGEST);
        bytes
    }
}

/// A number as protobuf writes it.
pub(super) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
