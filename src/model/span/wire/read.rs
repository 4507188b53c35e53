//! Reads primitives, names and resources from the front.

use std::sync::Arc;

use super::{DamagedSpans, Resource, values};

/// Reads from a slice and remembers the names and resources it has seen.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    names: Vec<(&'a str, Option<Arc<str>>)>,
    resources: Vec<Resource>,
    outline: bool,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, names: Vec::new(), resources: Vec::new(), outline: false }
    }

    /// One that passes over attributes.
    pub(super) const fn of_outline(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, names: Vec::new(), resources: Vec::new(), outline: true }
    }

    /// Whether attributes are passed over.
    pub(super) const fn is_outline(&self) -> bool {
        self.outline
    }

    pub(super) const fn end(&self) -> Result<(), DamagedSpans> {
        if self.rest.is_empty() { Ok(()) } else { Err(DamagedSpans) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DamagedSpans> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DamagedSpans)?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DamagedSpans> {
        Ok(self.take(1)?[0])
    }

    /// As many bytes as the array has.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DamagedSpans> {
        self.take(N)?.try_into().map_err(|_| DamagedSpans)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, DamagedSpans> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DamagedSpans)
    }

    pub(super) fn small(&mut self) -> Result<u32, DamagedSpans> {
        self.unsigned()?.try_into().map_err(|_| DamagedSpans)
    }

    pub(super) fn signed(&mut self) -> Result<i64, DamagedSpans> {
        let raw = self.unsigned()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    /// A count of things of at least one byte each, so that damaged bytes cannot ask for much more memory than they are.
    pub(super) fn count(&mut self) -> Result<usize, DamagedSpans> {
        let count = usize::try_from(self.unsigned()?).map_err(|_| DamagedSpans)?;
        if count <= self.rest.len() { Ok(count) } else { Err(DamagedSpans) }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DamagedSpans> {
        let length = self.count()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DamagedSpans> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DamagedSpans)
    }

    fn name_index(&mut self) -> Result<usize, DamagedSpans> {
        let number = usize::try_from(self.unsigned()?).map_err(|_| DamagedSpans)?;
        if number > 0 {
            return if number <= self.names.len() { Ok(number - 1) } else { Err(DamagedSpans) };
        }
        let text = self.text()?;
        self.names.push((text, None));
        Ok(self.names.len() - 1)
    }

    pub(super) fn name(&mut self) -> Result<&'a str, DamagedSpans> {
        let index = self.name_index()?;
        Ok(self.names[index].0)
    }

    /// A name of which there is one copy, however many spans have it.
    pub(super) fn shared(&mut self) -> Result<Arc<str>, DamagedSpans> {
        let index = self.name_index()?;
        let (text, shared) = &mut self.names[index];
        Ok(Arc::clone(shared.get_or_insert_with(|| Arc::from(*text))))
    }

    pub(super) fn flag(&mut self) -> Result<bool, DamagedSpans> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DamagedSpans),
        }
    }

    /// Nothing, or what `read` reads.
    pub(super) fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, DamagedSpans>) -> Result<Option<T>, DamagedSpans> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(super) fn optional_name(&mut self) -> Result<Option<String>, DamagedSpans> {
        self.optional(|reader| Ok(reader.name()?.to_owned()))
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, DamagedSpans> {
        self.optional(|reader| Ok(reader.text()?.to_owned()))
    }

    /// A text that an outline leaves out.
    pub(super) fn detail(&mut self) -> Result<Option<String>, DamagedSpans> {
        let outline = self.outline;
        let text = self.optional(Self::text)?;
        Ok(text.filter(|_| !outline).map(str::to_owned))
    }

    /// As many as are there.
    pub(super) fn many<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, DamagedSpans>) -> Result<Vec<T>, DamagedSpans> {
        let count = self.count()?;
        let mut all = Vec::with_capacity(count.min(1_024));
        for _ in 0..count {
            all.push(read(self)?);
        }
        Ok(all)
    }

    pub(super) fn resource(&mut self) -> Result<Resource, DamagedSpans> {
        let number = usize::try_from(self.unsigned()?).map_err(|_| DamagedSpans)?;
        if number > 0 {
            return self.resources.get(number - 1).cloned().ok_or(DamagedSpans);
        }
        let resource: Resource = values::read_all(self, 0)?.into();
        self.resources.push(Arc::clone(&resource));
        Ok(resource)
    }
}
