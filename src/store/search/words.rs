//! The words of a search, and lower case as both sides of the comparison know it: character by character, without the rules for
//! the ends of words; bytes that are not UTF-8 stand for themselves.

use memchr::memmem::Finder;

/// Appends `bytes` in lower case.
pub(in crate::store) fn lower_into(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    if bytes.is_ascii() {
        out.extend_from_slice(bytes);
        out[start..].make_ascii_lowercase();
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars().flat_map(char::to_lowercase) {
            // The sigma at the end of a word is the same letter.
            let folded = if character == 'ς' { 'σ' } else { character };
            out.extend_from_slice(folded.encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
}

/// Words that must all occur.
#[derive(Debug, Clone)]
pub(in crate::store) struct Words {
    finders: Vec<Finder<'static>>,
}

/// Which of the words were found, one bit each.
pub(in crate::store) type Found = u64;

/// Words beyond this number are ignored; a filter never gets so long by hand.
const MOST_WORDS: usize = 32;

impl Words {
    /// Splits at white space; `None` when there is no word.
    pub(in crate::store) fn parse(q: &str) -> Option<Self> {
        let finders: Vec<_> = q
            .split_whitespace()
            .take(MOST_WORDS)
            .map(|word| {
                let mut lower = Vec::new();
                lower_into(&mut lower, word.as_bytes());
                Finder::new(&lower).into_owned()
            })
            .collect();
        (!finders.is_empty()).then_some(Self { finders })
    }

    /// All bits.
    pub(in crate::store) const fn all(&self) -> Found {
        (1 << self.finders.len()) - 1
    }

    /// The words.
    pub(in crate::store) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.finders.iter().map(Finder::needle)
    }

    /// Adds the words that occur in `lower`, which is in lower case already.
    pub(in crate::store) fn find(&self, found: &mut Found, lower: &[u8]) {
        for (bit, finder) in self.finders.iter().enumerate() {
            if *found & (1 << bit) == 0 && finder.find(lower).is_some() {
                *found |= 1 << bit;
            }
        }
    }

    /// Whether all of them occur in some text.
    pub(in crate::store) fn matches(&self, text: &str) -> bool {
        let mut lower = Vec::new();
        lower_into(&mut lower, text.as_bytes());
        let mut found = 0;
        self.find(&mut found, &lower);
        found == self.all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_ignored_in_every_script_and_bytes_are_kept() {
        let words = Words::parse("STRASSE ΣΑΣ İx").expect("words");
        assert!(words.matches("die strasse, σας, i\u{307}X"));
        assert!(!words.matches("die strasse, σας"));
        let mut out = Vec::new();
        lower_into(&mut out, b"A\xff\xfeB");
        assert_eq!(out, b"a\xff\xfeb");
        assert!(Words::parse(" \t\n").is_none());
    }
}
