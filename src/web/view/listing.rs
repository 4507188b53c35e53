//! Lists that the store answers whole (topics and consumer groups of one bus): order and pages by key. Order is by one number,
//! largest first, then by name, so that rows with equal numbers never change places.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::address::Address;
use crate::model::page::InvalidCursor;

/// The last row of a page; the next page begins after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The number that it was ordered by; 0 in lists by name.
    pub number: u64,
    /// Its name.
    pub name: String,
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number, self.name)
    }
}

impl FromStr for After {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, name) = text.split_once('.').ok_or(InvalidCursor)?;
        Ok(Self { number: number.parse().map_err(|_| InvalidCursor)?, name: name.to_owned() })
    }
}

/// [`After`] as a field of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AfterParam(pub After);

impl<'de> serde::Deserialize<'de> for AfterParam {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| serde::de::Error::custom("not a cursor of this list; begin without one"))
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// Rows of this page.
    pub rows: Vec<T>,
    /// Rows of all pages.
    pub total: usize,
    /// Rows before this page.
    pub before: usize,
    /// Where the next page begins; `None` at the end.
    pub next: Option<After>,
}

impl<T> Listed<T> {
    /// The same page with other rows.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Listed<U> {
        Listed { rows: self.rows.into_iter().map(change).collect(), total: self.total, before: self.before, next: self.next }
    }

    /// Number of the first row, from 1; 0 when there is none.
    #[must_use]
    pub fn first(&self) -> usize {
        if self.rows.is_empty() { 0 } else { self.before + 1 }
    }

    /// Number of the last row.
    #[must_use]
    pub fn last(&self) -> usize {
        self.before + self.rows.len()
    }
}

/// A column's head: a link that orders the list by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands in it.
    pub label: &'static str,
    /// Classes of the cell.
    pub class: &'static str,
    /// The list in this order, from its first page.
    pub href: String,
    /// The value of `aria-sort` when the list is in this order.
    pub sorted: Option<&'static str>,
}

impl Column {
    /// A column of the list at `here`; `word` orders by it, which is the default order when `is_default`.
    #[must_use]
    pub fn new(label: &'static str, class: &'static str, here: &Address, word: &str, is_sorted: bool, is_default: bool) -> Self {
        let plain = here.without(&["sort"]);
        let href = if is_default { plain } else { plain.set("sort", word) }.to_string();
        let direction = if class.starts_with("num") { "descending" } else { "ascending" };
        Self { label, class, href, sorted: is_sorted.then_some(direction) }
    }
}

/// The order in which a page shows its rows, as a field of an address. A part that fetches itself gives it back, so that rows stay where
/// they are while their numbers change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownOrder(Vec<u32>);

impl ShownOrder {
    /// The order of rows with these names.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.map(short_hash).collect())
    }

    /// Puts the rows of a page back into this order; rows that are new stay behind those that were there. Answers whether that changed
    /// anything.
    pub fn keep<T>(&self, rows: &mut [T], name: impl Fn(&T) -> &str) -> bool {
        let places: HashMap<u32, usize> = self.0.iter().enumerate().map(|(place, hash)| (*hash, place)).collect();
        let place = |row: &T| places.get(&short_hash(name(row))).copied().unwrap_or(usize::MAX);
        let moved = !rows.is_sorted_by_key(place);
        rows.sort_by_key(place);
        moved
    }
}

/// Enough to tell the rows of one page apart, short enough for an address.
fn short_hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl fmt::Display for ShownOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|hash| write!(f, "{hash:08x}"))
    }
}

impl FromStr for ShownOrder {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hash = |bytes: &[u8]| u32::from_str_radix(std::str::from_utf8(bytes).ok()?, 16).ok();
        let hashes = text.as_bytes().chunks(8).map(hash).collect::<Option<Vec<_>>>();
        hashes.map(Self).ok_or(InvalidCursor)
    }
}

impl<'de> serde::Deserialize<'de> for ShownOrder {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("not an order of rows; leave it out"))
    }
}

/// Orders rows and takes the page after `after`. `key` tells the number and the name of a row.
pub fn list<T>(mut rows: Vec<T>, key: impl Fn(&T) -> (u64, &str), after: Option<&After>, limit: usize) -> Listed<T> {
    rows.sort_by(|a, b| order(key(a), key(b)));
    let total = rows.len();
    let before = after.map_or(0, |after| rows.partition_point(|row| order(key(row), (after.number, &after.name)) != Ordering::Greater));
    let mut rows = rows.split_off(before);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more).map(&key);
    let next = last.map(|(number, name)| After { number, name: name.to_owned() });
    Listed { rows, total, before, next }
}

fn order(a: (u64, &str), b: (u64, &str)) -> Ordering {
    b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<(u64, String)> {
        [(3, "b"), (9, "x.y"), (3, "a"), (0, ""), (3, "c")].map(|(number, name)| (number, name.to_owned())).to_vec()
    }

    #[test]
    fn pages_meet_without_overlap_and_in_order() {
        let mut after = None;
        let mut seen = Vec::new();
        for (before, expected) in [(0, 2), (2, 2), (4, 1)] {
            let page = list(rows(), |row| (row.0, &row.1), after.as_ref(), 2);
            assert_eq!((page.total, page.before, page.rows.len()), (5, before, expected));
            seen.extend(page.rows.into_iter().map(|row| row.1));
            after = page.next.map(|next| next.to_string().parse().unwrap());
        }
        assert_eq!(seen, ["x.y", "a", "b", "c", ""]);
        assert_eq!(after, None);
    }

    #[test]
    fn a_row_that_vanished_between_two_pages_loses_no_other() {
        let after = After { number: 3, name: "aa".to_owned() };
        let page = list(rows(), |row| (row.0, &row.1), Some(&after), 10);
        assert_eq!(page.rows.iter().map(|row| row.1.as_str()).collect::<Vec<_>>(), ["b", "c", ""]);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "x.y", "-1.a", "99999999999999999999999.a"] {
            assert_eq!(text.parse::<After>(), Err(InvalidCursor), "{text:?}");
        }
    }

    #[test]
    fn rows_stay_where_they_are_and_new_ones_come_behind() {
        let shown = ShownOrder::of(["c", "a", "b"].into_iter());
        let given: ShownOrder = serde_json::from_value(shown.to_string().into()).unwrap();
        assert_eq!(given, shown);
        let mut rows = vec!["new", "a", "b", "c"];
        assert!(given.keep(&mut rows, |row| row));
        assert_eq!(rows, ["c", "a", "b", "new"]);
        assert!(!given.keep(&mut rows, |row| row));
        let mut fewer = vec!["b", "c"];
        given.keep(&mut fewer, |row| row);
        assert_eq!(fewer, ["c", "b"]);
        assert!(serde_json::from_value::<ShownOrder>("zz".into()).is_err());
    }
}
