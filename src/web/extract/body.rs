//! Bodies as typed values: JSON for the API, forms for pages.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::super::address;
use super::super::error::Error;
use super::from_pairs;

/// A JSON body. 415 for another kind, 400 for what is not JSON, 422 with the field for what does not fit.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        expect_kind(request.headers(), "application/json")?;
        let body = read(request, state).await?;
        parse_json(&body).map(Self)
    }
}

/// A JSON body that may be left out: nothing was sent, or nothing but a content type.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Error> {
        let named = request.headers().get(header::CONTENT_TYPE).is_some();
        let kind = if named { expect_kind(request.headers(), "application/json") } else { Ok(()) };
        let body = read(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        kind?;
        parse_json(&body).map(|value| Some(Self(value)))
    }
}

/// A form's body.
#[derive(Debug, Clone)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        expect_kind(request.headers(), "application/x-www-form-urlencoded")?;
        let body = read(request, state).await?;
        let text = std::str::from_utf8(&body).map_err(|_| malformed("The form is not UTF-8."))?;
        from_pairs(&address::pairs(text)).map(Self)
    }
}

fn expect_kind(headers: &HeaderMap, expected: &'static str) -> Result<(), Error> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let text = format!("The body must be {expected}.");
    Err(Error::Invalid { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, code: "wrong_content_type", field: None, text })
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Error> {
    match Bytes::from_request(request, state).await {
        Ok(bytes) => Ok(bytes),
        Err(BytesRejection::FailedToBufferBody(failed)) if failed.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let text = "The body is too large; 1 MiB is the limit.".to_owned();
            Err(Error::Invalid { status: StatusCode::PAYLOAD_TOO_LARGE, code: "too_large", field: None, text })
        }
        Err(_) => Err(malformed("The body ended before it was complete.")),
    }
}

fn malformed(text: &str) -> Error {
    Error::Invalid { status: StatusCode::BAD_REQUEST, code: "malformed_body", field: None, text: text.to_owned() }
}

fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    use axum::extract::rejection::JsonRejection;
    let data_error = match axum::Json::<T>::from_bytes(body) {
        Ok(axum::Json(value)) => return Ok(value),
        Err(JsonRejection::JsonDataError(error)) => error,
        Err(other) => {
            let place = std::error::Error::source(&other).map_or_else(String::new, |source| format!(": {source}"));
            return Err(malformed(&format!("The body is not JSON{place}.")));
        }
    };
    let message = data_error.body_text();
    let message = message.split_once("target type: ").map_or(message.as_str(), |(_, rest)| rest);
    Err(invalid_field(message))
}

/// Reads serde's message: `role: unknown variant ...` or ``unknown field `x`, expected ...``.
fn invalid_field(message: &str) -> Error {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let quoted = |after: &str| message.split_once(after).and_then(|(_, rest)| rest.split('`').next()).map(str::to_owned);
    let is_path = |path: &str| !path.is_empty() && path.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '-'));
    let path = message.split_once(": ").map(|(path, _)| path).filter(|path| is_path(path));
    let (code, field) = if let Some(unknown) = quoted("unknown field `") {
        ("unknown_field", Some(unknown))
    } else if let Some(missing) = quoted("missing field `") {
        ("missing_field", Some(path.map_or(missing.clone(), |path| format!("{path}.{missing}"))))
    } else {
        ("invalid_field", path.map(str::to_owned))
    };
    Error::Invalid { status: StatusCode::UNPROCESSABLE_ENTITY, code, field, text: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Error, parse_json};
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors matter here")]
    struct Body {
        role: Role,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Role {
        Viewer,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors matter here")]
    struct Inner {
        count: u32,
    }

    fn told(body: &str) -> (u16, &'static str, Option<String>) {
        match parse_json::<Body>(body.as_bytes()) {
            Err(Error::Invalid { status, code, field, .. }) => (status.as_u16(), code, field),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn the_field_is_named_wherever_it_is() {
        let field = |name: &str| Some(name.to_owned());
        assert_eq!(told(r#"{"role":"#), (400, "malformed_body", None));
        assert_eq!(told(r#"{"role":"king"}"#), (422, "invalid_field", field("role")));
        assert_eq!(told(r#"{"rol":"viewer"}"#), (422, "unknown_field", field("rol")));
        assert_eq!(told("{}"), (422, "missing_field", field("role")));
        assert_eq!(told(r#"{"role":"viewer","inner":{"count":-1}}"#), (422, "invalid_field", field("inner.count")));
        assert_eq!(told(r#"{"role":"viewer","inner":{}}"#).1, "missing_field");
        assert_eq!(told("[]").0, 422);
    }
}
