//! Reading header values as their convention writes them.

use crate::dead_letters::conventions::Encoding;
use crate::model::Timestamp;

/// .NET ticks (100 ns since the year 1) at the Unix epoch.
const TICKS_AT_EPOCH: i64 = 621_355_968_000_000_000;

/// A whole number: as the convention says, else by length (4 or 8 bytes), else as decimal text. `None`: not a number.
pub(super) fn integer(bytes: &[u8], encoding: Encoding) -> Option<i64> {
    let by_convention = match encoding {
        Encoding::BeInt32OrByte if bytes.len() == 1 => Some(i64::from(bytes[0])),
        Encoding::BeInt32 | Encoding::BeInt32OrByte => be_int32(bytes),
        Encoding::BeInt64 => be_int64(bytes),
        Encoding::BigInteger => big_integer(bytes),
        Encoding::Float64 => float(bytes),
        _ => decimal(bytes),
    };
    by_convention.or_else(|| be_int32(bytes)).or_else(|| be_int64(bytes)).or_else(|| decimal(bytes))
}

/// A point in time. `None`: not a time.
pub(super) fn time(bytes: &[u8], encoding: Encoding) -> Option<Timestamp> {
    match encoding {
        Encoding::Iso8601 | Encoding::Auto | Encoding::Text => {
            iso8601(bytes).or_else(|| integer(bytes, Encoding::Decimal).map(Timestamp::from_millis))
        }
        Encoding::DotNetTicks => {
            integer(bytes, Encoding::Decimal).map(|ticks| Timestamp::from_millis(ticks.saturating_sub(TICKS_AT_EPOCH).div_euclid(10_000)))
        }
        _ => integer(bytes, encoding).map(Timestamp::from_millis),
    }
}

/// The name at the end of a URI such as `kafka://topic/orders`.
pub(super) fn name_in_uri(text: &str) -> &str {
    let path = text.split_once("://").map_or(text, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or(path).trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

fn be_int32(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(|four| i64::from(i32::from_be_bytes(four)))
}

fn be_int64(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}

fn big_integer(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > 8 {
        return None;
    }
    let sign = if bytes[0] >= 0x80 { -1 } else { 0 };
    Some(bytes.iter().fold(sign, |number, &byte| (number << 8) | i64::from(byte)))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn float(bytes: &[u8]) -> Option<i64> {
    let number = f64::from_be_bytes(bytes.try_into().ok()?);
    (number.is_finite() && number.abs() < 9e18).then_some(number as i64)
}

fn decimal(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

fn iso8601(bytes: &[u8]) -> Option<Timestamp> {
    // The longest form is 35 characters (seven digits of fraction and an offset).
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(64))?).ok()?.trim().trim_matches('"');
    if text.len() < 10 || text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    // Without a zone (.NET's unspecified kind) it is taken as UTC.
    Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&format!("{text}Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_convention_then_by_length_then_as_text() {
        for (bytes, encoding, number) in [
            (&b"\0\0\0\x07"[..], Encoding::BeInt32, Some(7)),
            (b"\xff\xff\xff\xff", Encoding::BeInt32, Some(-1)),
            (b"\0\0\0\0\0\0\0\x13", Encoding::BeInt64, Some(19)),
            (b"\0\0\0\x07", Encoding::BeInt64, Some(7)),
            (b"12", Encoding::BeInt64, Some(12)),
            (b"1234", Encoding::Decimal, Some(1234)),
            (b"\0\0\0\x05", Encoding::Decimal, Some(5)),
            (b"-1", Encoding::Decimal, Some(-1)),
            (b"\x03", Encoding::BeInt32OrByte, Some(3)),
            (b"\0\0\0\x04", Encoding::BeInt32OrByte, Some(4)),
            (b"\x01\xa2\x09\x6a\xa7\x96", Encoding::BigInteger, Some(0x01a2_096a_a796)),
            (b"\xff", Encoding::BigInteger, Some(-1)),
            (b"\x00\x01\x02", Encoding::BeInt32, None),
            (b"", Encoding::BeInt32, None),
            (b"", Encoding::BigInteger, None),
            (b"seven", Encoding::Decimal, None),
        ] {
            assert_eq!(integer(bytes, encoding), number, "{bytes:?} as {encoding:?}");
        }
    }

    #[test]
    fn times_are_read_in_every_style() {
        let time = |bytes: &[u8], encoding| time(bytes, encoding).map(Timestamp::to_rfc3339);
        assert_eq!(time(b"2026-11-24T02:57:16.1234567Z", Encoding::Iso8601).as_deref(), Some("2026-11-24T02:57:16.123Z"));
        assert_eq!(time(b"2026-11-24T03:57:16+01:00", Encoding::Iso8601).as_deref(), Some("2026-11-24T02:57:16.000Z"));
        assert_eq!(time(b"2026-11-24T02:57:16.123", Encoding::Iso8601).as_deref(), Some("2026-11-24T02:57:16.123Z"));
        assert_eq!(time(b"1795489036000", Encoding::Iso8601).as_deref(), Some("2026-11-24T02:57:16.000Z"));
        assert_eq!(time(b"1795489036000", Encoding::EpochMillis).as_deref(), Some("2026-11-24T02:57:16.000Z"));
        assert_eq!(time(b"639310858360000000", Encoding::DotNetTicks).as_deref(), Some("2026-11-24T02:57:16.000Z"));
        assert_eq!(time(b"yesterday", Encoding::Iso8601), None);
    }

    #[test]
    fn topics_are_found_in_addresses() {
        for (uri, name) in [
            ("kafka://topic/orders", "orders"),
            ("kafka://orders", "orders"),
            ("rabbitmq://host/vhost/orders?durable=true", "orders"),
            ("loopback://localhost/kafka/orders/", "orders"),
            ("orders", "orders"),
            ("", ""),
        ] {
            assert_eq!(name_in_uri(uri), name, "{uri}");
        }
    }
}
