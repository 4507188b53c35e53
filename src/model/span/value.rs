//! Values of attributes.

use std::sync::Arc;

/// A name, of which spans that came together often share one copy, and its value.
pub type Attribute = (Arc<str>, Value);

/// Attributes that many spans share.
pub type Attributes = Arc<[Attribute]>;

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A key without a value, which OTLP allows.
    Empty,
    /// Text.
    String(String),
    /// Truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any number, also NaN and the infinities.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values of any kinds.
    List(Vec<Value>),
    /// Named values, in their order; a name may appear twice.
    Map(Vec<Attribute>),
}

impl Value {
    /// How deep values may lie in each other; the receivers refuse deeper ones.
    pub const MAX_DEPTH: usize = 32;

    /// The text, when it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, when it is one: libraries write it as a number, as a double or as text.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Double(number) => whole(*number),
            Self::String(text) => text.trim().parse().ok().or_else(|| text.trim().parse().ok().and_then(whole)),
            _ => None,
        }
    }

    /// The truth, when it is one, also as text.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// The value of the first attribute of this name.
#[must_use]
pub fn attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Value> {
    attributes.iter().find(|(other, _)| &**other == name).map(|(_, value)| value)
}

/// A double that is a whole number of 53 bits, which every language can hold exactly.
fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53, so exact")]
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}
