//! Messages without what differs from record to record: ids, numbers, times, addresses become `<int>`, `<uuid>` and so on.
//! One pass, by hand: this runs for every dead letter without application frames.

mod tokens;

/// Bytes of a message that are looked at.
const MAX_BYTES: usize = 2048;

/// Lines that are kept; Jackson and databases say what matters in the first two.
const MAX_LINES: usize = 2;

/// The message's first two lines that are not empty, with what varies replaced.
#[must_use]
pub fn normalise(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut normal = String::with_capacity(message.len().min(MAX_BYTES) + 16);
    let mut left = MAX_BYTES;
    for line in lines.by_ref().take(MAX_LINES) {
        if !normal.is_empty() {
            normal.push(' ');
        }
        let line = cut(line, left);
        left -= line.len();
        replace(line, &mut normal);
    }
    if left == 0 || lines.next().is_some() {
        normal.push_str("...");
    }
    normal
}

/// At most so many bytes, whole characters.
fn cut(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let end = (0..=max_bytes).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

fn replace(line: &str, out: &mut String) {
    let bytes = line.as_bytes();
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        match tokens::token(bytes, at) {
            tokens::Step::Replace { length, name } => {
                out.push_str(&line[copied..at]);
                out.push_str(name);
                at += length;
                copied = at;
            }
            tokens::Step::Keep { length } => at += length.max(1),
        }
    }
    out.push_str(&line[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_what_varies() {
        for (message, normal) in [
            ("order 1002 failed", "order <int> failed"),
            ("order ord-1002 failed", "order ord-<int> failed"),
            ("balance is -12.50 EUR", "balance is <float> EUR"),
            ("1.5e-9 is too small", "<float> is too small"),
            ("no order 9f8b1c2e-58b7-4d5f-9a6e-0a4f3a1d2b7c", "no order <uuid>"),
            ("No Order 9F8B1C2E-58B7-4D5F-9A6E-0A4F3A1D2B7C!", "No Order <uuid>!"),
            ("object 507f1f77bcf86cd799439011 is gone", "object <hex> is gone"),
            ("at 0x7ffdc0ffee", "at <hex>"),
            ("decade facade deadbeef", "decade facade deadbeef"),
            ("trace 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 lost", "trace <traceparent> lost"),
            ("Read timed out after 30000ms", "Read timed out after <duration>"),
            ("Read timed out after 30000 ms", "Read timed out after <duration>"),
            ("waited 2.5 seconds", "waited <duration>"),
            ("took 1m30.5s", "took <duration>"),
            ("timeout PT0.5S", "timeout <duration>"),
            ("Exception thrown at 2026-11-24T02:57:16.123456Z", "Exception thrown at <date>"),
            ("at 2026-11-24 02:57:16,123 +0100 it broke", "at <date> it broke"),
            ("on 2026-11-24 it broke", "on <date> it broke"),
            ("on Tue Nov 24 02:57:16 UTC 2026 it broke", "on <date> it broke"),
            ("Tue, 24 Nov 2026 02:57:16 GMT", "<date>"),
            ("at 02:57:16 it broke", "at <time> it broke"),
            ("connect to 10.1.2.3:5432 refused", "connect to <ip> refused"),
            ("connect to [2001:db8::ff00:42:8329]:80 refused", "connect to [<ip>]:<int> refused"),
            ("ip ::1 is loopback", "ip <ip> is loopback"),
            ("mail to jane.doe+x@example.co.uk bounced", "mail to <email> bounced"),
            ("GET https://api.example.com/v1/orders/7?x=y failed", "GET <url> failed"),
            ("error in [x.Y$FunctionBinder$1@2d37882b]; boom", "error in [x.Y$FunctionBinder$<int>@<hash>]; boom"),
            ("class [B@1a2b3c cannot be cast", "class [B@<hash> cannot be cast"),
            ("user='jane' active=true count=7", "user=<text> active=<bool> count=<int>"),
            ("name=\"a b\" rest", "name=<text> rest"),
            ("SRMSG00103: failed", "SRMSG00103: failed"),
            ("key K3jH8sd9fJ2kLm4nP5qR6 unknown", "key <id> unknown"),
            ("orders_pkey utf8 sha256 http2", "orders_pkey utf8 sha256 http2"),
            ("Stra\u{df}e 12 \u{2192} 13", "Stra\u{df}e <int> \u{2192} <int>"),
            ("a:b::c", "a:b::c"),
            ("shop::orders::place failed", "shop::orders::place failed"),
            ("10-20", "<int>-<int>"),
            ("version 1.2.3", "version <version>"),
            ("", ""),
            ("\n  first 1\n\n second 2 \nthird", "first <int> second <int>..."),
        ] {
            assert_eq!(normalise(message), normal, "{message}");
        }
    }

    #[test]
    fn long_messages_are_cut() {
        assert!(normalise(&"\u{e9}7 ".repeat(10_000)).len() < 4 * MAX_BYTES);
        assert!(normalise(&"x".repeat(10_000)).ends_with("..."));
    }
}
