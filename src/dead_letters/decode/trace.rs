//! Trace ids in headers: W3C trace context, else B3.

/// What one header says about the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TraceHeader {
    /// `traceparent`.
    TraceParent,
    /// `b3`, the single header.
    B3,
    /// `X-B3-TraceId`.
    B3TraceId,
}

/// Names by which trace headers are known.
pub(super) const NAMES: &[(&str, TraceHeader)] = &[
    ("traceparent", TraceHeader::TraceParent),
    ("Traceparent", TraceHeader::TraceParent),
    ("b3", TraceHeader::B3),
    ("B3", TraceHeader::B3),
    ("X-B3-TraceId", TraceHeader::B3TraceId),
    ("x-b3-traceid", TraceHeader::B3TraceId),
    ("X-B3-Traceid", TraceHeader::B3TraceId),
];

/// The trace id in a header's value; `None` when it is not valid.
pub(super) fn trace_id(kind: TraceHeader, value: &[u8]) -> Option<[u8; 16]> {
    match kind {
        TraceHeader::TraceParent => trace_parent(value),
        TraceHeader::B3 => {
            let mut parts = value.split(|&b| b == b'-');
            let trace = parts.next()?;
            parts.next().filter(|span| span.len() == 16 && hex(span).is_some())?;
            b3_id(trace)
        }
        TraceHeader::B3TraceId => b3_id(value),
    }
}

/// Version 00: `00-<32 hex>-<16 hex>-<2 hex>`, lower case, ids not zero, any flags.
fn trace_parent(value: &[u8]) -> Option<[u8; 16]> {
    let valid = value.len() == 55
        && value.starts_with(b"00-")
        && value[35] == b'-'
        && value[52] == b'-'
        && !value.iter().any(u8::is_ascii_uppercase)
        && hex(&value[36..52]).is_some_and(|span| span != 0)
        && hex(&value[53..]).is_some();
    if valid { hex(&value[3..35]).filter(|&id| id != 0).map(u128::to_be_bytes) } else { None }
}

fn b3_id(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 16 && text.len() != 32 {
        return None;
    }
    hex(text).filter(|&id| id != 0).map(u128::to_be_bytes)
}

fn hex(text: &[u8]) -> Option<u128> {
    if !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36];

    #[test]
    fn valid_ids_are_read_and_others_are_not() {
        let parent = |text: &str| trace_id(TraceHeader::TraceParent, text.as_bytes());
        assert_eq!(parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), Some(ID));
        assert_eq!(parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff"), Some(ID), "any flags");
        for wrong in [
            "",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-0f067aa0ba902b7-01",
        ] {
            assert_eq!(parent(wrong), None, "{wrong}");
        }
        assert_eq!(trace_id(TraceHeader::B3, b"4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"), Some(ID));
        assert_eq!(trace_id(TraceHeader::B3, b"0"), None);
        assert_eq!(trace_id(TraceHeader::B3TraceId, b"a3ce929d0e0e4736").map(|id| id[..8] == [0; 8]), Some(true));
    }
}
