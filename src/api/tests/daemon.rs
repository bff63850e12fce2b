//! A daemon in a temporary directory, and a client that sees every byte of its answers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::rt::System;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::access::Simulated;
use crate::actors::{House, Mode, Order, Registry, RetryPolicy, reconcile};
use crate::api::resources::DoctorReport;
use crate::api::{Capacity, LogPorts, NodeFacts, Ports, serve};
use crate::domain::Given;
use crate::domain::node::{Command as NodeCommand, Node};
use crate::effects::Host;
use crate::effects::clock::SystemClock;
use crate::effects::sim::{SimulatedHost, World};
use crate::projections;
use crate::projections::query::Query;
use crate::storage::{Level, Options, SqliteLog};
use crate::types::{Category, Clock, NodeId, OperationId, Principal, StreamName};

/// Is a daemon in a temporary directory.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    pub(super) level: Arc<Mutex<Level>>,
    end: watch::Sender<bool>,
    served: actix_web::rt::task::JoinHandle<std::io::Result<()>>,
    pub(super) query: Query,
    host: Arc<SimulatedHost>,
    pub(super) log: Arc<SqliteLog>,
}

fn store(folder: &Path) -> Arc<SqliteLog> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut options = Options::new(clock, folder.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.projections = projections::all();
    options.reserve = 0;
    Arc::new(SqliteLog::open(&folder.join("state"), options).unwrap())
}

impl Daemon {
    #[allow(clippy::field_reassign_with_default)] // a field of the world is its own
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (log, redacting) = (Arc::clone(&store), Arc::clone(&store));
        let mut world = World::default();
        world.boot = "boot".to_owned();
        let world = Arc::new(Mutex::new(world));
        let node = NodeId::derived("node");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let host = Arc::new(SimulatedHost::new(world, vec![]));
        let retry = RetryPolicy { pause: Duration::from_millis(1), ..RetryPolicy::default() };
        let house = House::new(store.clone(), host.clone(), clock.clone(), node, "boot".to_owned(), retry);
        let registry = Registry::new(Arc::new(house), actix::Arbiter::current());
        reconcile::follow(registry.clone());
        let order = Order {
            command: NodeCommand::Initialise { hostname: "host".to_owned(), instance: "0a1b2c3d".to_owned() },
            given: Given { operation: OperationId::derived("init"), at: clock.now() },
            principal: Principal::runtime(),
            idempotency: None,
            annex: None,
            mode: Mode::Commit,
        };
        registry.perform::<Node>(&StreamName::new(Category::Node, node), order).await.unwrap();
        let level = Arc::new(Mutex::new(Level::Ok));
        let (end, shutdown) = watch::channel(false);
        let (asked, sealed) = (level.clone(), store.clone());
        let query = Query::new(store.reader());
        let ports = Ports {
            registry,
            query: query.clone(),
            access: Arc::new(Simulated { folder: folder.path().to_owned() }),
            doctor: Arc::new(DoctorReport::default),
            clock,
            log: LogPorts {
                level: Arc::new(move || *asked.lock().unwrap()),
                read_only: Arc::new(|| None),
                key_trouble: Arc::new(|| None),
                redact: Arc::new(move |positions| redacting.redact(positions)),
                checkpoint: Arc::new(move || sealed.seal()),
                rebuild: Arc::new(|| Ok(crate::api::resources::Rebuilt::default())),
                accept: Arc::new(|_| Ok(None)),
            },
            node: NodeFacts {
                id: node,
                version: "0.1.0".to_owned(),
                directories: vec!["/var/lib/berth".into()],
                image_disks: true,
                process_limits: true,
                can_start: true,
                refuse_overcommit: false,
                bridge_name: Arc::new(|network| format!("b{}", &network.short()[..5])),
                free_subnet: Arc::new(|_| Ok("10.99.0.0/24".parse().unwrap())),
                in_the_way: Arc::new(|subnet| {
                    let used = subnet.to_string().starts_with("10.66.");
                    Ok(if used { vec!["the address 10.66.0.1/16 of eth0".to_owned()] } else { vec![] })
                }),
                capacity: Arc::new(Capacity::default),
            },
            shutdown,
        };
        let socket = folder.path().join("api.sock");
        let served = actix_web::rt::spawn({
            let socket = socket.clone();
            async move { serve(ports, &socket).await }
        });
        while UnixStream::connect(&socket).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { socket, folder, level, end, served, query, host, log }
    }

    async fn stop(self) {
        self.host.close();
        self.end.send(true).unwrap();
        self.served.await.unwrap().unwrap();
        assert!(!self.socket.exists(), "the socket is gone");
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> UnixStream {
        let body = body.map(Value::to_string).unwrap_or_default();
        let more: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let more = more.concat();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: berth\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n{body}",
            body.len()
        );
        send_bytes(self, head.as_bytes()).await
    }

    pub(super) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> (u16, String, String) {
        let mut answer = vec![];
        self.send(method, path, headers, body).await.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, Value) {
        let (status, _, text) = self.raw(method, path, headers, body.as_ref()).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, &[], None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call("POST", path, &[], Some(body)).await
    }

    /// Posts, waits for the outcome, and returns the answer with it.
    pub(super) async fn done(&self, path: &str, body: Value) -> (Value, Value) {
        let (status, accepted) = self.post(path, body).await;
        assert_eq!(status, 202, "{path}: {accepted}");
        let operation = accepted["operation"].as_str().unwrap();
        // An operation that was quick is over by the time it is accepted, and has an outcome all the same.
        if accepted["done"] == true {
            let (_, row) = self.get(&format!("/v1/operations/{operation}")).await;
            return (accepted, row);
        }
        let events = self.wait(operation, &[]).await;
        let (_, _, outcome) = events.last().unwrap().clone();
        (accepted, outcome)
    }

    pub(super) async fn wait(&self, operation: &str, headers: &[(&str, &str)]) -> Vec<(String, Option<u64>, Value)> {
        let stream = self.send("GET", &format!("/v1/operations/{operation}/wait"), headers, None).await;
        let read = frames(stream, |event| event == "outcome");
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("the outcome comes")
    }

    pub(super) async fn with_container(&self) -> Value {
        let outcome = self.done("/v1/templates", json!({"name": "tiny", "source": {"from": "host"}})).await.1;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (accepted, outcome) =
            self.done("/v1/containers", json!({"name": "web", "template": "tiny", "labels": {"tier": "front"}})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        accepted
    }
}

pub(crate) fn run(test: impl AsyncFnOnce(&Daemon)) {
    System::new().block_on(async {
        let daemon = Daemon::start().await;
        test(&daemon).await;
        daemon.stop().await;
    });
}

/// Sends a request as it is; whether all of it was taken is for the answer to tell.
pub(super) async fn send_bytes(daemon: &Daemon, request: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(&daemon.socket).await.unwrap();
    let _ = stream.write_all(request).await;
    stream
}

/// Reads server-sent events until one says that it is the last; chunk sizes are lines that mean nothing here.
pub(super) async fn frames(stream: UnixStream, last: impl Fn(&str) -> bool) -> Vec<(String, Option<u64>, Value)> {
    let mut lines = BufReader::new(stream).lines();
    let (mut events, mut event, mut id) = (vec![], String::new(), None);
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut event);
        } else if let Some(number) = line.strip_prefix("id: ") {
            id = number.parse().ok();
        } else if let Some(data) = line.strip_prefix("data: ") {
            events.push((event.clone(), id.take(), serde_json::from_str(data).unwrap()));
            if last(&event) {
                break;
            }
        }
    }
    events
}
