//! Errors as they leave the server: RFC 9457, with a stable code and the next command to type.

use actix_web::error::QueryPayloadError;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use super::resources::{Accepted, Problem};
use crate::actors::CommandError;
use crate::domain::{Failure, FailureKind, Refusal, RefusalClass};
use crate::projections::query::QueryError;
use crate::storage::AppendError;

/// Is the code of what the log has no room for.
const LOG_FULL: &str = "log.no-space";
/// Is the code of what is not recorded in a history that nobody has accepted.
const UNACCEPTED: &str = "log.unaccepted";

/// Says why a request is not answered as wished, or that it was answered before.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The rules, or the edge, refuse.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many wait for the same thing.
    #[error("{0}")]
    Busy(String),
    /// The log cannot be read or written.
    #[error("{0}")]
    Log(String),
    /// The server is at fault.
    #[error("{0}")]
    Internal(String),
    /// This very request was carried out before: no error, but no need to look any further.
    #[error("carried out before")]
    Repeated(Box<Accepted>),
}

/// Is the result of every handler.
pub type ApiResult<T = HttpResponse> = Result<T, ApiError>;

impl ApiError {
    /// Refuses what makes no sense, in the words of the type that could not read it.
    pub fn invalid(code: &str, error: impl std::fmt::Display) -> Self {
        Self::Refused(Refusal::new(RefusalClass::Invalid, code, error.to_string()))
    }

    /// Says whether it is the log that did not take it.
    pub fn is_of_the_log(&self) -> bool {
        match self {
            Self::Log(_) => true,
            Self::Refused(refusal) => refusal.code == LOG_FULL || self.is_of_the_history(),
            _ => false,
        }
    }

    /// Says whether it is that another history was signed, and nobody has accepted this one.
    pub fn is_of_the_history(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == UNACCEPTED)
    }

    /// Puts the name of the thing where a hint says `NAME`.
    pub fn named(self, name: Option<&str>) -> Self {
        match (self, name) {
            (Self::Refused(refusal), Some(name)) => {
                let hint = refusal.hint.map(|hint| hint.replace("NAME", name));
                Self::Refused(Refusal { hint, ..refusal })
            }
            (error, _) => error,
        }
    }

    /// Returns it as it leaves.
    pub(super) fn problem(&self) -> Problem {
        let status = self.status_code();
        let (code, hint, class) = match self {
            Self::Refused(refusal) => (refusal.code.clone(), refusal.hint.clone(), Some(refusal.class)),
            Self::Busy(_) => ("busy".to_owned(), None, Some(RefusalClass::Conflict)),
            Self::Log(_) => ("log.unavailable".to_owned(), Some("berth doctor".to_owned()), None),
            Self::Internal(_) | Self::Repeated(_) => ("internal".to_owned(), None, None),
        };
        Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code,
            detail: self.to_string(),
            hint,
            class,
        }
    }
}

/// Answers a request that no route takes.
pub(super) async fn no_such_route(request: HttpRequest) -> ApiResult {
    let message = format!("there is nothing at {} {}", request.method(), request.path());
    Err(Refusal::new(RefusalClass::NotFound, "route.not-found", message).into())
}

/// Says what is wrong with the questions of a request.
pub(super) fn unread_query(error: &QueryPayloadError) -> ApiError {
    let reason = match error {
        QueryPayloadError::Deserialize(reason) => reason.to_string(),
        other => other.to_string(),
    };
    ApiError::invalid("request.query", reason)
}

/// Refuses what is no position in the log.
pub(super) fn no_position(text: &str) -> ApiError {
    ApiError::invalid("position.invalid", format!("{text:?} is no position in the log"))
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => match refusal.class {
                RefusalClass::Invalid => StatusCode::BAD_REQUEST,
                RefusalClass::NotFound => StatusCode::NOT_FOUND,
                RefusalClass::Conflict => StatusCode::CONFLICT,
                RefusalClass::Limit => StatusCode::INSUFFICIENT_STORAGE,
                RefusalClass::NotAllowed => StatusCode::FORBIDDEN,
                RefusalClass::Unsupported => StatusCode::NOT_IMPLEMENTED,
                RefusalClass::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Busy(_) => StatusCode::CONFLICT,
            Self::Log(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Repeated(_) => StatusCode::ACCEPTED,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Repeated(accepted) = self {
            return HttpResponse::Accepted().json(accepted);
        }
        HttpResponse::build(self.status_code()).content_type("application/problem+json").json(self.problem())
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let message = error.to_string();
        match error {
            CommandError::Refused(refusal) => Self::Refused(refusal),
            CommandError::Busy { .. } | CommandError::Log(AppendError::Busy { .. }) => Self::Busy(message),
            CommandError::Parked { damaged, .. } => {
                let hint = if damaged { "berth node rebuild" } else { "berth audit verify" };
                Self::Refused(Refusal::new(RefusalClass::Unsupported, "stream.parked", message).hinted(hint))
            }
            CommandError::Log(error) => error.into(),
            CommandError::Stopping => Self::Log(message),
        }
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        let message = error.to_string();
        let refused = |class, code| Self::Refused(Refusal::new(class, code, message.clone()));
        match error {
            AppendError::KeyReused { .. } => refused(RefusalClass::Conflict, "idempotency.key-reused"),
            AppendError::Busy { .. } | AppendError::Conflict { .. } => Self::Busy(message),
            AppendError::TooLarge { .. } => refused(RefusalClass::Invalid, "event.too-large"),
            AppendError::NoSpace { .. } => refused(RefusalClass::Limit, LOG_FULL),
            AppendError::Unaccepted { cure, .. } => {
                Refusal::new(RefusalClass::Conflict, UNACCEPTED, message).hinted(cure).into()
            }
            AppendError::ReadOnly { .. } | AppendError::Unavailable { .. } => Self::Log(message),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        let refused = |class, code: &str| Self::Refused(Refusal { hint, ..Refusal::new(class, code, message.clone()) });
        match error {
            QueryError::NotFound { noun, .. } => {
                refused(RefusalClass::NotFound, &format!("{}.not-found", noun.replace(' ', "-")))
            }
            QueryError::Purged { .. } => refused(RefusalClass::NotFound, "container.purged"),
            QueryError::Ambiguous { noun, .. } => {
                refused(RefusalClass::Conflict, &format!("{}.ambiguous", noun.replace(' ', "-")))
            }
            QueryError::Moment { .. } | QueryError::Future { .. } => refused(RefusalClass::Invalid, "moment.invalid"),
            QueryError::TooMany { .. } => refused(RefusalClass::Invalid, "limit.invalid"),
            QueryError::Read(_) | QueryError::Row { .. } => Self::Log(message),
        }
    }
}

impl From<Failure> for ApiError {
    /// Access that fails is a matter of the state or of the host, not of the server.
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Permanent => {
                let class = failure.class.unwrap_or(RefusalClass::Conflict);
                let code = if class == RefusalClass::Damaged { "backup.damaged" } else { "access.failed" };
                Self::Refused(Refusal::new(class, code, failure.reason))
            }
            _ => Self::Busy(failure.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_stream_leads_to_what_looks_at_the_log_and_a_damaged_one_to_what_mends_it() {
        for (damaged, hint) in [(false, "berth audit verify"), (true, "berth node rebuild")] {
            let (stream, reason) = ("schedule/x".to_owned(), "no body".to_owned());
            let problem = ApiError::from(CommandError::Parked { stream, reason, damaged }).problem();
            assert_eq!((problem.code.as_str(), problem.hint.as_deref()), ("stream.parked", Some(hint)));
        }
    }
}
