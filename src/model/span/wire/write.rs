//! Appends primitives, names and resources.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Resource, values};

/// Appends to a buffer and remembers which names and resources it has written.
pub(super) struct Writer<'a, 'o> {
    out: &'o mut Vec<u8>,
    names: HashMap<&'a str, usize, RandomState>,
    /// Names by number, each with the number of the one that came after it the last time: spans of a kind repeat each other's names in
    /// the same order, and comparing with one is cheaper than looking among all.
    order: Vec<(&'a str, usize)>,
    last: usize,
    resources: Vec<&'a Resource>,
}

impl<'a, 'o> Writer<'a, 'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, names: HashMap::default(), order: vec![("", 0)], last: 0, resources: Vec::new() }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push((value & 0x7f) as u8);
    }

    pub(super) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    pub(super) fn count(&mut self, count: usize) {
        self.unsigned(count as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A text that returns: its number, or 0 and the text the first time.
    pub(super) fn name(&mut self, name: &'a str) {
        let likely = self.order[self.last].1;
        let known = if likely > 0 && self.order[likely].0 == name { Some(likely) } else { self.names.get(name).copied() };
        let number = known.unwrap_or(self.order.len());
        self.order[self.last].1 = number;
        self.last = number;
        if known.is_some() {
            return self.count(number);
        }
        self.names.insert(name, number);
        self.order.push((name, 0));
        self.count(0);
        self.text(name);
    }

    pub(super) fn optional_name(&mut self, name: Option<&'a str>) {
        self.flag(name.is_some());
        if let Some(name) = name {
            self.name(name);
        }
    }

    pub(super) fn optional_text(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        if let Some(text) = text {
            self.text(text);
        }
    }

    pub(super) fn optional_signed(&mut self, value: Option<i64>) {
        self.flag(value.is_some());
        if let Some(value) = value {
            self.signed(value);
        }
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    /// Attributes of a process: their number, or 0 and the attributes the first time. A chunk has few processes.
    pub(super) fn resource(&mut self, resource: &'a Resource) {
        if let Some(number) = self.resources.iter().rposition(|other| Arc::ptr_eq(other, resource)) {
            return self.count(number + 1);
        }
        self.resources.push(resource);
        self.count(0);
        values::write_all(self, resource, 0);
    }
}
