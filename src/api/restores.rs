//! Restores.

use actix_web::web;

use super::edge::Look;
use super::problem::ApiResult;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/restores", web::get().to(list)).route("/restores/{reference}", web::get().to(show));
}

async fn list(look: Look) -> ApiResult {
    look.list("restore", |query, moment| query.restores(moment)).await
}

async fn show(look: Look, reference: web::Path<String>) -> ApiResult {
    look.show(move |query, moment| query.restore(&reference, moment)).await
}
