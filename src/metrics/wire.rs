//! Variable-length integers (LEB128, signed ones zig-zag), as everything in this room is stored.

use super::damage::Damaged;

/// Appends an unsigned integer.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends a signed integer.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends a number: whole ones short, others with all their bits.
pub(super) fn put_number(out: &mut Vec<u8>, value: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "only taken when it comes back as it was")]
    let whole = value as i64;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "compared, bit for bit, with what it came from")]
    if whole as f64 == value && whole.unsigned_abs() < 1 << 52 {
        put(out, ((whole << 1) ^ (whole >> 63)).cast_unsigned() << 1);
    } else {
        put(out, 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Reads what was written, from the front.
pub(super) struct Read<'a>(pub(super) &'a [u8]);

impl<'a> Read<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f).checked_shl(shift).ok_or(Damaged)?;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    pub(super) fn signed(&mut self) -> Result<i64, Damaged> {
        let raw = self.unsigned()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    pub(super) fn number(&mut self) -> Result<f64, Damaged> {
        let raw = self.unsigned()?;
        if raw & 1 == 1 {
            return Ok(f64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Damaged)?));
        }
        let raw = raw >> 1;
        #[expect(clippy::cast_precision_loss, reason = "below 2^52, so exact")]
        Ok(((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())) as f64)
    }
}
