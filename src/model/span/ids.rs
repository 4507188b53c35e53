//! Ids of traces and spans: bytes inside, lower-case hex outside.

use std::fmt;
use std::str::FromStr;

/// The text is not the hex of an id of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hex digits that are not all zero")]
pub struct NotAnId {
    /// How many digits it should have.
    pub digits: usize,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident / $length:literal),+ $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The id of these bytes; `None` when there are more or fewer, or all are zero, which is no id.
            #[must_use]
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().filter(|id| *id != [0; $length]).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            /// Upper and lower case are the same.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut id = [0; $length];
                let wrong = NotAnId { digits: 2 * $length };
                if text.len() != wrong.digits {
                    return Err(wrong);
                }
                for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    *byte = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or(wrong)?;
                }
                Self::from_bytes(&id).ok_or(wrong)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+ };
}

ids! {
    /// Id of a trace.
    TraceId / 16,
    /// Id of a span.
    SpanId / 8,
}

const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}
