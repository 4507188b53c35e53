//! Ids that people and other programs see: `UUIDv7`, so that they sort by time and restored stores never give one twice.

use super::Timestamp;

/// A `UUIDv7` of this moment.
#[must_use]
pub fn uuid_v7(now: Timestamp) -> uuid::Uuid {
    let millis = now.as_millis().max(0).unsigned_abs();
    let nanos = u32::try_from(millis % 1_000).unwrap_or(0) * 1_000_000;
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1_000, nanos))
}

/// A type of its own for the ids of one kind of thing, in their usual form.
macro_rules! public_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// A new one.
            #[must_use]
            pub fn new(now: $crate::model::Timestamp) -> Self {
                Self($crate::model::public_id::uuid_v7(now).hyphenated().to_string())
            }

            /// The text; `None` when it is no UUID.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                uuid::Uuid::try_parse(text).ok().map(|id| Self(id.hyphenated().to_string()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use public_id;
