//! Owns what a client is told when something is wrong: RFC 9457 problem documents. A problem has two texts: what the client
//! may know, and the cause, which goes to the log under the request's id and nowhere else.

use std::fmt::Display;

use rocket::{
    Request, Response,
    http::{Header, Status},
    response::Responder,
};
use serde_json::json;

use crate::{fairings::RequestRecord, routes::set_body, store::StoreError};

/// The media type of RFC 9457 section 3.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The kinds of problems, each with its status and title: the last part of `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body is not JSON.
    MalformedBody,
    /// The request itself cannot be read.
    BadRequest,
    /// No such route, or no such item.
    NotFound,
    /// The route has no such method.
    MethodNotAllowed,
    /// The body came too slowly.
    RequestTimeout,
    /// The body is larger than a body may be.
    BodyTooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// What was sent can be read but not accepted.
    InvalidRequest,
    /// An idempotency key was used for another item.
    KeyReused,
    /// A fault of ours.
    Internal,
    /// What the request needs is away, or does not keep up.
    Unavailable,
}

impl Kind {
    /// Every kind, for the document that describes them.
    pub const ALL: [Self; 11] = [
        Self::MalformedBody,
        Self::BadRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidRequest,
        Self::KeyReused,
        Self::Internal,
        Self::Unavailable,
    ];

    /// HTTP's status.
    pub fn status(self) -> Status {
        match self {
            Self::MalformedBody | Self::BadRequest => Status::BadRequest,
            Self::NotFound => Status::NotFound,
            Self::MethodNotAllowed => Status::MethodNotAllowed,
            Self::RequestTimeout => Status::RequestTimeout,
            Self::BodyTooLarge => Status::PayloadTooLarge,
            Self::UnsupportedMediaType => Status::UnsupportedMediaType,
            Self::InvalidRequest | Self::KeyReused => Status::UnprocessableEntity,
            Self::Internal => Status::InternalServerError,
            Self::Unavailable => Status::ServiceUnavailable,
        }
    }

    /// The name in `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedBody => "malformed-body",
            Self::BadRequest => "bad-request",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::BodyTooLarge => "body-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::InvalidRequest => "invalid-request",
            Self::KeyReused => "idempotency-key-reused",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::MalformedBody => "The body is not JSON",
            Self::BadRequest => "The request cannot be read",
            Self::NotFound => "There is nothing here",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::RequestTimeout => "The body did not come in time",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body must be JSON",
            Self::InvalidRequest => "The request is not acceptable",
            Self::KeyReused => "The idempotency key belongs to another item",
            Self::Internal => "Something is wrong here",
            Self::Unavailable => "The service cannot do this now",
        }
    }
}

/// `type` is this and the kind's name.
pub const TYPE_PREFIX: &str = "urn:homeport:problem:";

/// Seconds after which a client may try again: the longest pause between two looks at what is away.
const RETRY_AFTER: &str = "1";

/// One problem, as an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: Option<String>,
    cause: Option<String>,
    allow: Option<&'static str>,
}

impl Problem {
    /// A problem without more to say.
    pub fn new(kind: Kind) -> Self {
        Self { kind, detail: None, cause: None, allow: None }
    }

    /// A problem with a sentence for the client.
    pub fn with_detail(kind: Kind, detail: impl Display) -> Self {
        Self { detail: Some(detail.to_string()), ..Self::new(kind) }
    }

    /// A method that is not among those allowed.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::with_detail(Kind::MethodNotAllowed, format_args!("allowed: {allow}"))
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (kind, detail) = match &error {
            StoreError::Unavailable { dependency, .. } => {
                (Kind::Unavailable, Some(format!("{dependency} is not available")))
            }
            StoreError::Deadline(dependency) => {
                (Kind::Unavailable, Some(format!("{dependency} did not answer in time")))
            }
            StoreError::Unable(_) => (Kind::Unavailable, Some("postgres cannot do this now".to_owned())),
            StoreError::Busy => (Kind::Unavailable, Some("too many writes are waiting".to_owned())),
            StoreError::Refused(_) => (Kind::InvalidRequest, None),
            StoreError::KeyReused => (Kind::KeyReused, None),
            StoreError::Internal(_) => (Kind::Internal, None),
        };
        Self { kind, detail, cause: Some(error.to_string()), allow: None }
    }
}

impl<'r> Responder<'r, 'static> for Problem {
    fn respond_to(self, request: &'r Request<'_>) -> rocket::response::Result<'static> {
        let record = RequestRecord::of(request);
        if let Some(cause) = self.cause.as_deref().filter(|_| self.kind.status().code >= 500) {
            record.log_cause(cause);
        }
        let mut document = json!({
            "type": format!("{TYPE_PREFIX}{}", self.kind.name()),
            "title": self.kind.title(),
            "status": self.kind.status().code,
            "request_id": record.request_id(),
        });
        if let Some(detail) = self.detail {
            document["detail"] = detail.into();
        }
        let body = document.to_string();
        let mut response = Response::build();
        response.status(self.kind.status()).raw_header("Content-Type", MEDIA_TYPE);
        if let Some(allow) = self.allow {
            response.header(Header::new("Allow", allow));
        }
        if self.kind == Kind::Unavailable {
            response.header(Header::new("Retry-After", RETRY_AFTER));
        }
        let mut response = response.finalize();
        set_body(&mut response, body);
        Ok(response)
    }
}
