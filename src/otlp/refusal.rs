//! Why a request is not answered with success, before anyone says it in HTTP's or gRPC's words.

use std::time::Duration;

use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Refused, Undecodable};

/// A request that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is missing or wrong.
    Token,
    /// The content type is none of ours.
    ContentType,
    /// The compression is none of ours.
    Compression,
    /// More bytes or parts than a request may have.
    TooLarge(String),
    /// The bytes are not what they claim to be.
    Malformed(String),
    /// Not now; come again.
    Later(Duration, String),
    /// Our own fault.
    Broken,
}

/// When to come again after a refusal that names no time.
const USUAL_WAIT: Duration = Duration::from_secs(5);

impl Refusal {
    /// All memory for requests is in use.
    pub(super) fn full() -> Self {
        Self::Later(Duration::from_secs(1), "as many spans are on their way as Redrive holds in memory; send them again".to_owned())
    }

    /// The request did not arrive in time.
    pub(super) fn slow() -> Self {
        Self::Later(Duration::from_secs(1), "the request did not arrive in time; send it again".to_owned())
    }

    pub(super) fn too_large(max_bytes: u64) -> Self {
        Self::TooLarge(format!("the request is larger than {max_bytes} bytes (otlp.max_bytes), as sent or unpacked; send smaller batches"))
    }

    /// The word under which it is counted.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::ContentType => "content_type",
            Self::Compression => "compression",
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Later(..) => "later",
            Self::Broken => "broken",
        }
    }

    /// The sentence for the sender.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Token => "the bearer token is missing or wrong (otlp.token)",
            Self::ContentType => "the content type is neither application/x-protobuf nor application/json",
            Self::Compression => "the content is neither plain nor packed by gzip",
            Self::TooLarge(text) | Self::Malformed(text) | Self::Later(_, text) => text,
            Self::Broken => "the request could not be worked on; see Redrive's log",
        }
    }

    /// When to come again; `None` when the same request will never do.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later(wait, _) => Some(*wait),
            _ => None,
        }
    }

    /// The code of gRPC, also inside HTTP's error bodies.
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Token => Code::Unauthenticated,
            Self::ContentType | Self::Malformed(_) => Code::InvalidArgument,
            Self::Compression => Code::Unimplemented,
            Self::TooLarge(_) => Code::ResourceExhausted,
            Self::Later(..) => Code::Unavailable,
            Self::Broken => Code::Internal,
        }
    }

    /// As gRPC says it: with the time to come again, or with what is wrong.
    pub(super) fn status(&self) -> tonic::Status {
        let details = match self {
            Self::Later(wait, _) => ErrorDetails::with_retry_info(Some(*wait)),
            Self::Malformed(text) => ErrorDetails::with_bad_request_violation("body", text),
            _ => ErrorDetails::new(),
        };
        tonic::Status::with_error_details(self.code(), self.message(), details)
    }

    /// The same as a `google.rpc.Status`, for HTTP.
    pub(super) fn status_bytes(&self) -> Vec<u8> {
        self.status().details().to_vec()
    }
}

impl From<Undecodable> for Refusal {
    fn from(undecodable: Undecodable) -> Self {
        match undecodable {
            Undecodable::Malformed(text) => Self::Malformed(text),
            Undecodable::TooMany => {
                Self::TooLarge("the request holds too many spans, attributes, events and links; send smaller batches".to_owned())
            }
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { retry_after } => {
                Self::Later(retry_after, "more spans arrive than can be written at present; send them again".to_owned())
            }
            Refused::Unavailable(reason) => Self::Later(USUAL_WAIT, reason),
        }
    }
}
