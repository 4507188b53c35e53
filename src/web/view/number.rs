//! Numbers as the interface writes them: thousands apart, units after a space.

/// A count with commas between the thousands.
#[must_use]
pub fn grouped(count: u64) -> String {
    with_commas(&count.to_string())
}

/// Puts commas between thousands; what is not a whole number stays as it is.
#[must_use]
pub fn with_commas(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut grouped = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number in at most four figures: exact below 10,000.
#[must_use]
pub fn short_number(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        Some((unit, name)) if number >= 10_000 => {
            let tenths = number / (unit / 10);
            if tenths >= 1000 { format!("{} {name}", tenths / 10) } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
        }
        _ => with_commas(&number.to_string()),
    }
}

/// A count on an axis: `1.5 k`, `20 M`.
#[must_use]
pub fn compact(count: u64) -> String {
    let (unit, word) = match count {
        0..1_000 => return count.to_string(),
        1_000..1_000_000 => (1_000, "k"),
        _ => (1_000_000, "M"),
    };
    let tenths = count * 10 / unit;
    if tenths.is_multiple_of(10) { format!("{} {word}", tenths / 10) } else { format!("{}.{} {word}", tenths / 10, tenths % 10) }
}

/// A number of bytes in its largest unit with one digit: `1.3 KB`. Units are powers of 1,000.
#[must_use]
pub fn size(bytes: u64) -> String {
    let (unit, word) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "KB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    let tenths = bytes.saturating_mul(10) / unit;
    if tenths >= 1_000 { format!("{} {word}", grouped(tenths / 10)) } else { format!("{}.{} {word}", tenths / 10, tenths % 10) }
}

/// `1 failure group`, `9 failure groups`: a count with its noun.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart_and_axes_short() {
        assert_eq!((grouped(12).as_str(), grouped(1_234_567).as_str()), ("12", "1,234,567"));
        assert_eq!((compact(999).as_str(), compact(1_500).as_str(), compact(20_000_000).as_str()), ("999", "1.5 k", "20 M"));
        assert_eq!(counted(1, "dead letter", "dead letters"), "1 dead letter");
        assert_eq!(counted(4_120, "dead letter", "dead letters"), "4,120 dead letters");
    }

    #[test]
    fn numbers_are_grouped() {
        let cases = [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-1234567", "-1,234,567"), ("1.5", "1.5"), ("", "")];
        for (given, expected) in cases {
            assert_eq!(with_commas(given), expected);
        }
    }

    #[test]
    fn counts_fit_into_the_navigation() {
        let cases = [(0, "0"), (9_999, "9,999"), (12_345, "12.3 k"), (432_100, "432 k"), (1_250_000, "1.2 M"), (5_000_000_000, "5.0 G")];
        for (given, expected) in cases {
            assert_eq!(short_number(given), expected);
        }
    }

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1_318, "1.3 KB"), (123_456, "123 KB"), (8_388_608, "8.3 MB"), (5_000_000_000_000, "5,000 GB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
