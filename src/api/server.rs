//! The server: a Unix socket, the kernel's word for who calls, the routes, and an end in order.

use std::any::Any;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;

use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::net::UnixStream;
use actix_web::{App, HttpMessage, HttpServer, web};

use super::peer::{self, Caller};
use super::ports::Ports;
use super::problem::{self, ApiError};
use super::routes::{
    backups, containers, events, maintenance, networks, node, operations, redaction, restores, schedules, sessions,
    stores, templates,
};
use crate::domain::{Refusal, RefusalClass};
use crate::sys;

/// Requests are small and answers are quick; whatever takes time runs on threads that may block.
const WORKERS: usize = 2;
/// How long open answers may take after the end was asked for.
const SHUTDOWN_SECONDS: u64 = 5;
/// The largest body of a request, in bytes.
const BODY_MAX: usize = 1 << 20;

/// Serves the API on `socket` until the daemon ends.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve(ports: Ports, socket: &Path) -> io::Result<()> {
    let listener = listen(socket)?;
    let daemon = fs::metadata("/proc/self").map(|own| own.uid())?;
    let mut shutdown = ports.shutdown.clone();
    let ports = web::Data::new(ports);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(ports.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .app_data(web::QueryConfig::default().error_handler(|error, _| problem::unread_query(&error).into()))
            .wrap(from_fn(let_in))
            .configure(routes)
            .default_service(web::to(problem::no_such_route))
    })
    .on_connect(move |connection, extensions| recognise(connection, extensions, daemon))
    .workers(WORKERS)
    .disable_signals()
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .listen_uds(listener)?
    .run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        let _ = shutdown.wait_for(|ending| *ending).await; // a sender that is gone ends the server too
        handle.stop(true).await;
    });
    let served = server.await;
    let _ = fs::remove_file(socket);
    served
}

/// Makes the socket, for root and, where there is one, for the group `berth`.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    let shared = peer::group_id().is_some_and(|group| chown(socket, None, Some(group)).is_ok());
    fs::set_permissions(socket, fs::Permissions::from_mode(if shared { 0o660 } else { 0o600 }))?;
    if shared {
        tracing::warn!(group = peer::GROUP, "members of the group may use the API: that is as good as root");
    }
    Ok(listener)
}

/// Notes who is at the other end; a connection whose peer nobody vouches for is let in nowhere.
fn recognise(connection: &dyn Any, extensions: &mut Extensions, daemon: u32) {
    if let Some(stream) = connection.downcast_ref::<UnixStream>()
        && let Ok(peer) = sys::socket::peer(stream)
    {
        extensions.insert(Caller::of(peer, daemon));
    }
}

async fn let_in(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let caller = request.conn_data::<Caller>().cloned();
    match caller {
        Some(caller) if caller.allowed => {
            request.extensions_mut().insert(caller);
            next.call(request).await
        }
        caller => {
            let who = caller.map_or_else(|| "nobody known".to_owned(), |caller| caller.principal.who);
            let message = format!("{who} may not use the API; only root and members of the group {} may", peer::GROUP);
            Err(ApiError::Refused(Refusal::new(RefusalClass::NotAllowed, "api.not-allowed", message)).into())
        }
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("/v1")
            .configure(node::routes)
            .configure(sessions::routes)
            .configure(containers::routes)
            .configure(templates::routes)
            .configure(networks::routes)
            .configure(stores::routes)
            .configure(backups::routes)
            .configure(restores::routes)
            .configure(schedules::routes)
            .configure(maintenance::routes)
            .configure(operations::routes)
            .configure(events::routes)
            .configure(redaction::routes),
    );
}
