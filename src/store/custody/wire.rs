//! Values with their lengths: numbers are LEB128 varints, `0` in place of a length + 1 is a null.

/// Appends a number.
pub(in crate::store) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Appends bytes.
pub(in crate::store) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends bytes that may be null.
pub(in crate::store) fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            put_varint(out, bytes.len() as u64 + 1);
            out.extend_from_slice(bytes);
        }
    }
}

/// Reads what the functions above wrote; `None` where the bytes are something else.
pub(in crate::store) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::store) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(in crate::store) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(in crate::store) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(in crate::store) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(in crate::store) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    #[expect(clippy::option_option, reason = "outside: whether there is anything to read; inside: null")]
    pub(in crate::store) fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        match usize::try_from(self.varint()?).ok()? {
            0 => Some(None),
            length => self.take(length - 1).map(Some),
        }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
