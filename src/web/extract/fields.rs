//! Paths, queries and forms as typed values. Unlike the usual decoder this one knows repeated names (`?status=open&status=replayed`),
//! takes an empty value for a missing one (a form sends all of its fields), and always names the field that is wrong.

use std::fmt;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::super::address;
use super::super::error::Error;

/// The variable parts of a path, decoded: `Path<(BusId, TopicName)>` or `Path<i64>`.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    #[expect(clippy::disallowed_types, reason = "this is the wrapper that others use")]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        use axum::extract::path::ErrorKind;
        use axum::extract::rejection::PathRejection;
        let failed = match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => return Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(failed)) => failed,
            Err(other) => return Err(Error::Internal(other.to_string())),
        };
        let name = |index: usize| name_at(parts, index);
        let (field, value) = match failed.kind() {
            ErrorKind::ParseErrorAtKey { key, value, .. } | ErrorKind::DeserializeError { key, value, .. } => {
                (Some(key.clone()), Some(value))
            }
            ErrorKind::InvalidUtf8InPathParam { key } => (Some(key.clone()), None),
            ErrorKind::ParseErrorAtIndex { index, value, .. } => (name(*index), Some(value)),
            ErrorKind::ParseError { value, .. } => (name(0), Some(value)),
            _ => (None, None),
        };
        let text = match value {
            Some(value) => format!("{:?} cannot be there in the address", value.chars().take(40).collect::<String>()),
            None => "A part of the address cannot be read".to_owned(),
        };
        Err(Error::Invalid { status: StatusCode::BAD_REQUEST, code: "invalid_path", field, text })
    }
}

/// What the route calls the part of the path with this index among its variable parts.
fn name_at(parts: &Parts, index: usize) -> Option<String> {
    let route = parts.extensions.get::<MatchedPath>()?;
    let mut names = route.as_str().split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.nth(index).map(str::to_owned)
}

/// The query as a typed value.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        from_pairs(&address::pairs(parts.uri.query().unwrap_or_default())).map(Self)
    }
}

/// Names and values of a query or form as a typed value; 422 with the field otherwise.
pub fn from_pairs<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T, Error> {
    let mut fields: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, value) in pairs {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => fields.push((name, vec![value])),
        }
    }
    T::deserialize(Fields { fields: fields.into_iter(), value: None }).map_err(FieldError::into_error)
}

/// A field and what is wrong with it.
#[derive(Debug)]
struct FieldError {
    field: Option<String>,
    text: String,
    code: &'static str,
}

impl FieldError {
    fn at(mut self, field: &str) -> Self {
        self.field.get_or_insert_with(|| field.to_owned());
        self
    }

    fn into_error(self) -> Error {
        Error::Invalid { status: StatusCode::UNPROCESSABLE_ENTITY, code: self.code, field: self.field, text: self.text }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for FieldError {}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { field: None, text: message.to_string(), code: "invalid_field" }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let text = format!("there is no field {field:?} here; known are {}", expected.join(", "));
        Self { field: Some(field.to_owned()), text, code: "unknown_field" }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { field: Some(field.to_owned()), text: format!("the field {field:?} is missing"), code: "missing_field" }
    }
}

/// All fields, as a map.
struct Fields<'a> {
    fields: std::vec::IntoIter<(&'a str, Vec<&'a str>)>,
    value: Option<(&'a str, Vec<&'a str>)>,
}

impl<'de> de::Deserializer<'de> for Fields<'de> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, values)) = self.fields.next() else { return Ok(None) };
        self.value = Some((name, values));
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let (name, values) = self.value.take().expect("serde asks for a value after its key");
        seed.deserialize(Values(values)).map_err(|error| error.at(name))
    }
}

/// All values of one field.
struct Values<'a>(Vec<&'a str>);

impl<'a> Values<'a> {
    fn single(&self) -> Result<&'a str, FieldError> {
        match self.0.as_slice() {
            [value] => Ok(value),
            _ => Err(de::Error::custom("it is given more than once")),
        }
    }

    fn parsed<T: std::str::FromStr>(&self, expected: &str) -> Result<T, FieldError> {
        let value = self.single()?;
        let shown: String = value.chars().take(40).collect();
        value.trim().parse().map_err(|_| de::Error::custom(format!("{shown:?} is not {expected}")))
    }
}

macro_rules! number {
    ($($method:ident $visit:ident $kind:ty),+ $(,)?) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
            visitor.$visit(self.parsed::<$kind>("a number that fits here")?)
        }
    )+ };
}

impl<'de> de::Deserializer<'de> for Values<'de> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_borrowed_str(self.single()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        if self.0.iter().all(|value| value.is_empty()) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let given = self.0.into_iter().filter(|value| !value.is_empty()).map(|value| Values(vec![value]));
        visitor.visit_seq(SeqDeserializer::new(given))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.single()? {
            "true" | "1" | "on" => visitor.visit_bool(true),
            "false" | "0" | "" => visitor.visit_bool(false),
            _ => Err(de::Error::custom("expected true or false")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_enum(IntoDeserializer::<FieldError>::into_deserializer(self.single()?))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_unit()
    }

    number! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_f32 visit_f32 f32, deserialize_f64 visit_f64 f64,
    }

    forward_to_deserialize_any! { i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier }
}

impl<'de> IntoDeserializer<'de, FieldError> for Values<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::address::pairs;
    use super::{Error, from_pairs};
    use crate::model::TopicName;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Sort {
        #[default]
        Open,
        LastSeen,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Filter {
        topic: Vec<TopicName>,
        q: Option<String>,
        partition: Option<i32>,
        live: bool,
        sort: Sort,
    }

    fn field_of(query: &str) -> (Option<String>, &'static str) {
        match from_pairs::<Filter>(&pairs(query)) {
            Err(Error::Invalid { field, code, .. }) => (field, code),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn repeated_names_are_lists_and_empty_ones_are_missing() {
        let filter: Filter = from_pairs(&pairs("topic=a&topic=&topic=b%20c&q=&partition=7&live=on&sort=last_seen")).unwrap();
        let topics = vec![TopicName::from("a"), TopicName::from("b c")];
        assert_eq!(filter, Filter { topic: topics, q: None, partition: Some(7), live: true, sort: Sort::LastSeen });
        assert_eq!(from_pairs::<Filter>(&[]).unwrap(), Filter::default());
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        let field = |name: &str| Some(name.to_owned());
        assert_eq!(field_of("partition=x"), (field("partition"), "invalid_field"));
        assert_eq!(field_of("partition=99999999999"), (field("partition"), "invalid_field"));
        assert_eq!(field_of("q=a&q=b"), (field("q"), "invalid_field"));
        assert_eq!(field_of("sort=sideways"), (field("sort"), "invalid_field"));
        assert_eq!(field_of("tpic=a"), (field("tpic"), "unknown_field"));
    }
}
