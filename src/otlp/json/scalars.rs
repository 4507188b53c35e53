//! Scalars of proto3 JSON, in every form in which they may be written.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::otlp::assemble::RawId;

/// Padding may be missing, and bits that say nothing may be set.
const LAX: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LAX);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LAX);

/// Text. Read as bytes, so that half a surrogate pair becomes a replacement character instead of an error.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

/// An unsigned 64-bit number: as a number or as text.
#[derive(Debug, Default)]
pub(super) struct Unsigned(pub(super) u64);

/// A signed 64-bit number: as a number or as text.
#[derive(Debug, Default)]
pub(super) struct Signed(pub(super) i64);

/// A double: as a number, or as text, which is the only way to write NaN and the infinities.
#[derive(Debug, Default)]
pub(super) struct Double(pub(super) f64);

/// An enum: its number, never its name.
#[derive(Debug, Default)]
pub(super) struct Enumeration(pub(super) i64);

/// An id in hex.
#[derive(Debug, Default)]
pub(super) struct Hex(pub(super) RawId);

/// Bytes in either alphabet of base64.
#[derive(Debug, Default)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// A number or text, as it stands in the JSON.
enum Sent {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Sent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Sent, E> {
                Ok(Sent::Unsigned(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Sent, E> {
                Ok(Sent::Signed(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Sent, E> {
                Ok(Sent::Double(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Sent, E> {
                Ok(Sent::Text(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl Sent {
    /// A whole number of any size; text may use an exponent, as proto3 JSON allows.
    fn whole(&self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some(i128::from(*number)),
            Self::Signed(number) => Some(i128::from(*number)),
            Self::Double(number) => whole(*number),
            Self::Text(text) => text.parse().ok().or_else(|| text.parse().ok().and_then(whole)),
        }
    }
}

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Sent::deserialize(deserializer)?.whole().and_then(|number| number.try_into().ok());
        number.map(Self).ok_or_else(|| D::Error::custom("expected an unsigned 64-bit number"))
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Sent::deserialize(deserializer)?.whole().and_then(|number| number.try_into().ok());
        number.map(Self).ok_or_else(|| D::Error::custom("expected a 64-bit number"))
    }
}

impl<'de> Deserialize<'de> for Double {
    #[expect(clippy::cast_precision_loss, reason = "a double was asked for")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Sent::deserialize(deserializer)? {
            Sent::Double(number) => Some(number),
            Sent::Unsigned(number) => Some(number as f64),
            Sent::Signed(number) => Some(number as f64),
            Sent::Text(text) => double(&text),
        };
        number.map(Self).ok_or_else(|| D::Error::custom("expected a number, NaN, Infinity or -Infinity"))
    }
}

impl<'de> Deserialize<'de> for Enumeration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Sent::deserialize(deserializer)? {
            Sent::Text(_) => return Err(D::Error::custom("expected the number of an enum, not its name")),
            sent => sent.whole().and_then(|number| i64::try_from(number).ok()),
        };
        number.map(Self).ok_or_else(|| D::Error::custom("expected the number of an enum"))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        hex(text.strip_prefix("0x").unwrap_or(&text)).map(Self).ok_or_else(|| D::Error::custom("expected an id in hex"))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text));
        bytes.map(Self).map_err(|_| D::Error::custom("expected bytes in base64"))
    }
}

/// Rust's own words for what is no finite number are more than JSON's.
fn double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

fn whole(number: f64) -> Option<i128> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and of less than 127 bits, so exact")]
    (number.fract() == 0.0 && number.abs() < 1e38).then_some(number as i128)
}

fn hex(text: &str) -> Option<RawId> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = Vec::with_capacity(16);
    for pair in text.as_bytes().chunks_exact(2) {
        let digit = |letter: u8| char::from(letter).to_digit(16);
        bytes.push(u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?);
    }
    Some(RawId::new(&bytes))
}
