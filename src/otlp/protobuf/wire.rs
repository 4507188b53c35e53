//! Fields of a protobuf message, one after the other.

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// A field's value by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    /// A group, which no message of OTLP has; passed over, as other decoders do.
    Group,
}

/// How deep groups may lie in each other.
const GROUPS: usize = 32;

/// The fields of a message: number and value. Ends after the first damage.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u64, Field<'a>), Damaged> {
        let (number, kind) = self.key()?;
        Ok((number, self.value(number, kind, GROUPS)?))
    }

    fn key(&mut self) -> Result<(u64, u64), Damaged> {
        let key = self.varint()?;
        let valid = key >> 3 != 0 && u32::try_from(key).is_ok();
        if valid { Ok((key >> 3, key & 7)) } else { Err(Damaged) }
    }

    fn value(&mut self, number: u64, kind: u64, groups: usize) -> Result<Field<'a>, Damaged> {
        Ok(match kind {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Damaged)?;
                Field::Bytes(self.take(length)?)
            }
            3 if groups > 0 => {
                self.pass_group(number, groups - 1)?;
                Field::Group
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Damaged),
        })
    }

    fn pass_group(&mut self, number: u64, groups: usize) -> Result<(), Damaged> {
        loop {
            match self.key()? {
                (end, 4) => return if end == number { Ok(()) } else { Err(Damaged) },
                (inner, kind) => self.value(inner, kind, groups)?,
            };
        }
    }

    fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Damaged)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.take(N)?.try_into().map_err(|_| Damaged)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(head)
    }
}
