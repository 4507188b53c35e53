//! The producer's ledger, and its comparison with what lies in custody.

use std::collections::BTreeMap;
use std::fmt;

use redrive::model::dead_letter::DeadLetterDetail;
use redrive::model::{DeadLetterFilter, Header, PageRequest};
use redrive::store::{Store, StoreSettings};
use sha2::{Digest, Sha256};

use super::super::harness::kafka::Outgoing;

/// Hash of key, value and headers with their lengths, nulls and order.
type Hash = [u8; 32];

/// What was written, by content, with where; no content is written twice.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<Hash, Entry>,
}

#[derive(Debug)]
struct Entry {
    topic: String,
    /// Partition and offset, where they were told.
    place: Option<(i32, i64)>,
    text: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}: {}", self.topic, self.place, self.text)
    }
}

impl Ledger {
    /// Enters records that were written, with where each lies.
    pub(super) fn enter(&mut self, records: &[Outgoing], places: &[(i32, i64)]) {
        for (record, place) in records.iter().zip(places) {
            self.add(record, Some(*place));
        }
    }

    /// Enters records that were written somewhere.
    pub(super) fn enter_somewhere(&mut self, records: &[Outgoing]) {
        for record in records {
            self.add(record, None);
        }
    }

    /// Takes out what a bus has removed before anybody could read it.
    pub(super) fn forget(&mut self, topic: &str, partition: i32, from: i64, to: i64) {
        let gone =
            |entry: &Entry| entry.topic == topic && entry.place.is_some_and(|(p, offset)| p == partition && (from..to).contains(&offset));
        self.entries.retain(|_, entry| !gone(entry));
    }

    fn add(&mut self, record: &Outgoing, place: Option<(i32, i64)>) {
        let headers = record.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()));
        let hash = hash(record.key.as_deref(), record.value.as_deref(), headers);
        let entry = Entry { topic: record.topic.clone(), place, text: describe(record.value.as_deref()) };
        assert!(self.entries.insert(hash, entry).is_none(), "the corpus repeats itself");
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Compares with custody: each entry exactly once, and nothing else.
    ///
    /// # Panics
    /// When something is missing, there twice, or was never written.
    pub(super) async fn compare(&self, store: &Store) {
        let mut found: BTreeMap<Hash, u32> = BTreeMap::new();
        let mut strangers = Vec::new();
        for letter in all(store).await {
            let headers = letter.headers.iter().map(|Header { name, value }| (name.as_ref(), value.as_deref()));
            let hash = hash(letter.key.as_deref(), letter.value.as_deref(), headers);
            if !self.entries.contains_key(&hash) {
                strangers.push(format!(
                    "{} {}/{}: {}",
                    letter.summary.topic,
                    letter.summary.partition,
                    letter.summary.offset,
                    describe(letter.value.as_deref())
                ));
            }
            *found.entry(hash).or_default() += 1;
        }
        let those = |wrong: &dyn Fn(&Hash) -> bool| -> Vec<String> {
            self.entries.iter().filter(|(hash, _)| wrong(hash)).map(|(_, entry)| entry.to_string()).collect()
        };
        let missing = those(&|hash| !found.contains_key(hash));
        let twice = those(&|hash| found.get(hash) > Some(&1));
        assert!(
            missing.is_empty() && twice.is_empty() && strangers.is_empty(),
            "of {}: {} missing {:#?}, {} twice {:#?}, {} never written {:#?}",
            self.entries.len(),
            missing.len(),
            missing.iter().take(5).collect::<Vec<_>>(),
            twice.len(),
            twice.iter().take(5).collect::<Vec<_>>(),
            strangers.len(),
            strangers.iter().take(5).collect::<Vec<_>>()
        );
    }
}

/// Opens a store that no process serves at present.
pub(super) async fn open(url: &str) -> Store {
    Store::open(&settings(url)).await.expect("the store opens")
}

/// Opens a store beside the process that serves it.
pub(super) async fn open_beside(url: &str) -> Store {
    Store::open_beside(&settings(url)).await.expect("the store opens")
}

fn settings(url: &str) -> StoreSettings {
    StoreSettings { url: url.to_owned(), max_bytes: None, read_timeout: std::time::Duration::from_mins(1) }
}

/// Every dead letter, whole.
pub(super) async fn all(store: &Store) -> Vec<DeadLetterDetail> {
    let (mut letters, mut page) = (Vec::new(), PageRequest::first(1_000));
    loop {
        let (mut items, next) = store.list_for_export(&DeadLetterFilter::default(), &page).await.expect("custody can be read");
        letters.append(&mut items);
        let Some(next) = next else { return letters };
        page.cursor = Some(next);
    }
}

fn hash<'a>(key: Option<&[u8]>, value: Option<&[u8]>, headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Hash {
    let mut hasher = Sha256::new();
    let mut part = |bytes: Option<&[u8]>| match bytes {
        None => hasher.update([0]),
        Some(bytes) => {
            hasher.update([1]);
            hasher.update(bytes.len().to_be_bytes());
            hasher.update(bytes);
        }
    };
    part(key);
    part(value);
    for (name, value) in headers {
        part(Some(name));
        part(value);
    }
    hasher.finalize().into()
}

fn describe(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| String::from_utf8_lossy(value).chars().take(60).collect())
}
