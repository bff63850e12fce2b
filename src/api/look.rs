//! What a read needs: the read models, asked about the moment that the request names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::ports::Ports;
use super::problem::{self, ApiError, ApiResult};
use super::resources::ListEnvelope;
use crate::domain::{Refusal, RefusalClass};
use crate::effects::patience::{Looks, Unheard};
use crate::projections::query::{Moment, Query, QueryError};

/// How long a path may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Is what a read needs.
pub struct Look {
    /// The daemon.
    pub ports: web::Data<Ports>,
    as_of: Option<String>,
}

impl FromRequest for Look {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        #[derive(serde::Deserialize)]
        struct At {
            as_of: Option<String>,
        }
        let at = web::Query::<At>::from_query(request.query_string());
        let at = at.map_err(|error| problem::unread_query(&error));
        let look = at.and_then(|at| Ok(Self { ports: ports(request)?, as_of: at.into_inner().as_of }));
        std::future::ready(look)
    }
}

impl Look {
    /// Asks about the moment that the request names.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Query, Moment) -> Result<T, QueryError> + Send + 'static,
    ) -> ApiResult<T> {
        let (text, now) = (self.as_of.clone(), self.ports.clock.now());
        ask(&self.ports, move |query| question(query, query.moment(text.as_deref(), now)?)).await
    }

    /// Answers with a list.
    pub async fn list<T: Serialize + Send + 'static>(
        &self,
        noun: &str,
        question: impl FnOnce(&Query, Moment) -> Result<Vec<T>, QueryError> + Send + 'static,
    ) -> ApiResult {
        let schema = format!("berth.{noun}.list/v1");
        let listed = self.ask(move |query, moment| {
            let items = question(query, moment)?;
            Ok(ListEnvelope { schema, as_of: query.as_of(moment)?, items })
        });
        Ok(HttpResponse::Ok().json(listed.await?))
    }

    /// Answers with one row.
    pub async fn show<T: Serialize + Send + 'static>(
        &self,
        question: impl FnOnce(&Query, Moment) -> Result<T, QueryError> + Send + 'static,
    ) -> ApiResult {
        Ok(HttpResponse::Ok().json(self.ask(question).await?))
    }

    /// Says whether the present is asked about.
    pub const fn is_now(&self) -> bool {
        self.as_of.is_none()
    }
}

/// Asks the read models on a thread that may block.
pub async fn ask<T: Send + 'static>(
    ports: &web::Data<Ports>,
    question: impl FnOnce(&Query) -> Result<T, QueryError> + Send + 'static,
) -> ApiResult<T> {
    let query = ports.query.clone();
    block(move || question(&query)).await?.map_err(ApiError::from)
}

/// Runs what may block on a thread that may.
pub async fn block<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
    web::block(work).await.map_err(|error| ApiError::Internal(error.to_string()))
}

/// Returns the ports of the server that got a request.
pub(super) fn ports(request: &HttpRequest) -> ApiResult<web::Data<Ports>> {
    let ports = request.app_data::<web::Data<Ports>>().cloned();
    ports.ok_or_else(|| ApiError::Internal("the server has no ports".to_owned()))
}

/// Looks at a path, which may never answer, such as one on a server that is gone. Its thread is
/// left to itself then: nobody waits for it, not even the end of the daemon, and whoever asks meanwhile begins no other.
pub async fn in_time<T: Clone + Send + 'static>(
    looks: &'static Looks<PathBuf, T>,
    path: &Path,
    look: impl FnOnce(&Path) -> T + Send + 'static,
) -> ApiResult<Result<T, Unheard>> {
    let path = path.to_owned();
    block(move || {
        let own = path.clone();
        looks.begin(&path, &path, move || look(&own)).within(PATIENCE)
    })
    .await
}

/// Refuses what nothing is known of; `code` is for a path that does not answer.
pub fn unheard(path: &str, code: &str, why: Unheard) -> ApiError {
    match why {
        Unheard::Silent => {
            let message = format!("{path} does not answer; is its disk or its server reachable?");
            Refusal::new(RefusalClass::Unsupported, code, message).into()
        }
        Unheard::Crowded => {
            let message = format!("{path} was not looked at: too many others do not answer; try again later");
            Refusal::new(RefusalClass::Conflict, "path.not-looked-at", message).into()
        }
    }
}
