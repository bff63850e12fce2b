//! The API as a whole: a real log, real actors, a simulated host, a real socket.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::rt::System;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::resources::{BackupFile, DoctorReport, SessionRequest, SessionTicket};
use super::{LogPorts, NodeFacts, Ports, serve};
use crate::actors::{House, Mode, Order, Registry, RetryPolicy, reconcile};
use crate::domain::node::{Command as NodeCommand, Node};
use crate::domain::{Failure, Given};
use crate::effects::Host;
use crate::effects::access::Access;
use crate::effects::clock::SystemClock;
use crate::effects::sim::{SimulatedHost, World};
use crate::projections;
use crate::projections::query::Query;
use crate::storage::{Level, Options, SqliteStore};
use crate::types::{
    BackupId, Category, Clock, ContainerId, NodeId, OperationId, Principal, SessionId, StoreId, StreamName, Usage,
};

/// Reaches into nothing, but says so plausibly.
struct Simulated {
    folder: PathBuf,
}

impl Access for Simulated {
    fn open_session(
        &self,
        _: ContainerId,
        session: SessionId,
        request: &SessionRequest,
    ) -> Result<SessionTicket, Failure> {
        if request.argv[0] == "fails" {
            return Err(Failure::permanent("the supervisor does not answer"));
        }
        Ok(SessionTicket { session, socket: self.folder.join("shim"), token: "secret".to_owned() })
    }

    fn sessions(&self, _: ContainerId) -> Vec<SessionId> {
        vec![]
    }

    fn console_log(&self, _: ContainerId) -> PathBuf {
        self.folder.join("console.log")
    }

    fn usage(&self, _: ContainerId) -> Option<Usage> {
        Some(Usage { memory: Some(4_096), ..Usage::default() })
    }

    fn backup_files(&self, _: StoreId, _: BackupId, _: &str) -> Result<Vec<BackupFile>, Failure> {
        Ok(vec![])
    }

    fn backup_file(&self, _: StoreId, _: BackupId, path: &str, out: &mut dyn Write) -> Result<(), Failure> {
        if path == "/absent" {
            return Err(Failure::permanent("there is no /absent in the backup"));
        }
        for _ in 0..1_000 {
            out.write_all(&[b'x'; 1_000]).map_err(|error| Failure::permanent(error.to_string()))?;
        }
        Ok(())
    }

    fn recovery_key(&self, _: StoreId) -> Result<String, Failure> {
        Ok("KEY".to_owned())
    }
}

/// Is a daemon in a temporary directory.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    level: Arc<Mutex<Level>>,
    end: watch::Sender<bool>,
    served: actix_web::rt::task::JoinHandle<std::io::Result<()>>,
    query: Query,
    host: Arc<SimulatedHost>,
}

fn store(folder: &Path) -> Arc<SqliteStore> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut options = Options::new(clock, folder.join("keys"), Arc::new(|_: &Path| Ok(1 << 40)));
    options.projections = projections::all();
    options.ballast = 0;
    Arc::new(SqliteStore::open(&folder.join("state"), options).unwrap())
}

impl Daemon {
    #[allow(clippy::field_reassign_with_default)] // a field of the world is its own
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
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
                checkpoint: Arc::new(move || sealed.seal()),
            },
            node: NodeFacts {
                id: node,
                version: "0.1.0".to_owned(),
                image_disks: true,
                process_limits: true,
                can_start: true,
                bridge_name: Arc::new(|network| format!("b{}", &network.short()[..5])),
                free_subnet: Arc::new(|_| Ok("10.99.0.0/24".parse().unwrap())),
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
        Self { socket, folder, level, end, served, query, host }
    }

    async fn stop(self) {
        self.host.close();
        self.end.send(true).unwrap();
        self.served.await.unwrap().unwrap();
        assert!(!self.socket.exists(), "the socket is gone");
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        let more: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let more = more.concat();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: berth\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn raw(
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

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> (u16, Value) {
        let (status, _, text) = self.raw(method, path, headers, body.as_ref()).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, &[], None).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call("POST", path, &[], Some(body)).await
    }

    /// Posts, waits for the outcome, and returns the answer with it.
    async fn done(&self, path: &str, body: Value) -> (Value, Value) {
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

    async fn wait(&self, operation: &str, headers: &[(&str, &str)]) -> Vec<(String, Option<u64>, Value)> {
        let stream = self.send("GET", &format!("/v1/operations/{operation}/wait"), headers, None).await;
        let read = frames(stream, |event| event == "outcome");
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("the outcome comes")
    }

    async fn with_container(&self) -> Value {
        let outcome = self.done("/v1/templates", json!({"name": "tiny", "source": {"from": "host"}})).await.1;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (accepted, outcome) =
            self.done("/v1/containers", json!({"name": "web", "template": "tiny", "labels": {"tier": "front"}})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        accepted
    }
}

/// Reads server-sent events until one says that it is the last; chunk sizes are lines that mean nothing here.
async fn frames(stream: UnixStream, last: impl Fn(&str) -> bool) -> Vec<(String, Option<u64>, Value)> {
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

/// Returns the positions of the phases among what a wait told.
fn phases_of(events: &[(String, Option<u64>, Value)]) -> Vec<u64> {
    events.iter().filter(|(name, ..)| name == "phase").filter_map(|(_, id, _)| *id).collect()
}

pub(crate) fn run(test: impl AsyncFnOnce(&Daemon)) {
    System::new().block_on(async {
        let daemon = Daemon::start().await;
        test(&daemon).await;
        daemon.stop().await;
    });
}

#[test]
fn a_container_lives_from_create_to_purge() {
    run(async |daemon| {
        let accepted = daemon.with_container().await;
        let id = accepted["id"].as_str().unwrap().to_owned();
        let (status, list) = daemon.get("/v1/containers").await;
        assert_eq!((status, &list["schema"]), (200, &json!("berth.container.list/v1")));
        let row = &list["items"][0];
        assert_eq!(
            (&row["name"], &row["state"], &row["template_name"]),
            (&json!("web"), &json!("stopped"), &json!("tiny"))
        );
        assert_eq!(row["configuration"]["limits"]["disk"], 10_u64 << 30);
        assert!(list["as_of"]["position"].as_u64().unwrap() > 5);
        for (verb, state) in [
            ("start", "running"),
            ("pause", "paused"),
            ("resume", "running"),
            ("restart", "running"),
            ("stop", "stopped"),
        ] {
            let (_, outcome) = daemon.done(&format!("/v1/containers/web/{verb}"), json!({})).await;
            assert_eq!(outcome["state"], "done", "{verb}: {outcome}");
            let (_, row) = daemon.get("/v1/containers/web").await;
            assert_eq!(row["state"], state, "{verb}");
            assert_eq!(row["usage"].is_object(), state != "stopped");
        }
        daemon.done("/v1/containers/web/rename", json!({"name": "front"})).await;
        daemon.done(&format!("/v1/containers/{}/delete", &id[..6]), json!({})).await;
        assert_eq!(daemon.get("/v1/containers").await.1["items"], json!([]));
        assert_eq!(daemon.get("/v1/containers?all=true").await.1["items"][0]["state"], "deleted");
        daemon.done("/v1/containers/front/undelete", json!({"name": "web"})).await;
        let (_, row) = daemon.get("/v1/containers/web").await;
        assert_eq!((&row["state"], &row["former_names"]), (&json!("stopped"), &json!(["front"])));
        daemon.done("/v1/containers/web/delete", json!({"grave": "1h"})).await;
        daemon.done("/v1/containers/web/purge", json!({})).await;
        assert_eq!(daemon.get(&format!("/v1/containers/{id}")).await.1["state"], "purged");
        let (_, history) = daemon.get(&format!("/v1/containers/{id}/history")).await;
        let history = history["items"].as_array().unwrap();
        assert_eq!(history[0]["sentence"], "container web requested");
        assert_eq!(history.last().unwrap()["kind"], "ContainerPurged");
    });
}

#[test]
fn errors_are_problems_with_codes_and_hints() {
    run(async |daemon| {
        daemon.with_container().await;
        let (status, head, _) = daemon.raw("GET", "/v1/containers/wbe", &[], None).await;
        assert_eq!(status, 404);
        assert!(head.to_lowercase().contains("content-type: application/problem+json"), "{head}");
        let (_, problem) = daemon.get("/v1/containers/wbe").await;
        assert_eq!((&problem["code"], &problem["hint"]), (&json!("container.not-found"), &json!("did you mean web?")));
        for (path, body, status, code) in [
            ("/v1/containers/web/pause", json!({}), 409, "container.not-running"),
            ("/v1/containers", json!({"name": "Ü", "template": "tiny"}), 400, "name.invalid"),
            ("/v1/containers", json!({"name": "x", "template": "tiny", "memory": "1GB"}), 400, "memory.invalid"),
            ("/v1/containers", json!({"name": "x", "template": "tiny", "memry": "1G"}), 400, "request.body"),
            ("/v1/containers", json!({"name": "x", "template": "huge"}), 404, "template.not-found"),
            ("/v1/containers/web/set", json!({"disk": "1G"}), 400, "container.disk-shrinks"),
            ("/v1/containers/web/set", json!({}), 400, "set.nothing"),
            ("/v1/backups", json!({"containers": ["web"]}), 404, "store.not-found"),
            ("/v1/stores", json!({"name": "s", "path": "relative"}), 400, "path.not-absolute"),
            ("/v1/nothing", json!({}), 404, "route.not-found"),
        ] {
            let (found, problem) = daemon.post(path, body).await;
            assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
        }
        let (_, problem) = daemon.post("/v1/containers/web/pause", json!({})).await;
        assert_eq!(problem["hint"], "berth container start web");
        *daemon.level.lock().unwrap() = Level::Tight;
        let (status, problem) = daemon.post("/v1/containers", json!({"name": "y", "template": "tiny"})).await;
        assert_eq!((status, problem["code"].as_str()), (507, Some("log.no-space")));
        assert_eq!(daemon.post("/v1/containers/web/start", json!({})).await.0, 202);
    });
}

#[test]
fn the_same_key_twice_is_the_same_request() {
    run(async |daemon| {
        daemon.with_container().await;
        let body = json!({"name": "twin", "template": "tiny", "pids": "none"});
        let key = [("Idempotency-Key", "k1")];
        let (status, first) = daemon.call("POST", "/v1/containers", &key, Some(body.clone())).await;
        assert_eq!(status, 202, "{first}");
        daemon.wait(first["operation"].as_str().unwrap(), &[]).await;
        let (status, second) = daemon.call("POST", "/v1/containers", &key, Some(body)).await;
        assert_eq!(status, 202, "{second}");
        assert_eq!((&second["id"], &second["operation"]), (&first["id"], &first["operation"]));
        assert_eq!((&second["repeated"], &second["done"]), (&json!(true), &json!(true)));
        let other = json!({"name": "other", "template": "tiny"});
        let (status, problem) = daemon.call("POST", "/v1/containers", &key, Some(other)).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("idempotency.key-reused")));
        let set = json!({"memory": "64M", "autostart": true, "labels_set": {"a": "b"}, "labels_remove": ["tier"]});
        let key = [("Idempotency-Key", "k2")];
        let (status, first) = daemon.call("POST", "/v1/containers/web/set", &key, Some(set.clone())).await;
        assert_eq!(status, 202, "{first}");
        let (_, again) = daemon.call("POST", "/v1/containers/web/set", &key, Some(set)).await;
        assert_eq!(again["repeated"], true, "{again}");
        let (_, row) = daemon.get("/v1/containers/web").await;
        assert_eq!(row["configuration"]["limits"]["memory"], 64 << 20);
        assert_eq!(row["configuration"]["limits"]["pids"], 4096);
        let (_, twin) = daemon.get("/v1/containers/twin").await;
        assert_eq!(twin["configuration"]["limits"]["pids"], Value::Null);
        assert_eq!(row["configuration"]["labels"], json!({"a": "b"}));
        assert_eq!(row["configuration"]["autostart"], true);
    });
}

#[test]
fn a_dry_run_records_nothing_and_tells_the_plan() {
    run(async |daemon| {
        daemon.with_container().await;
        let before = daemon.query.reader().position().unwrap();
        let dry = [("Berth-Dry-Run", "true")];
        let (status, told) = daemon.call("POST", "/v1/containers/web/start", &dry, None).await;
        assert_eq!((status, &told["dry_run"]), (200, &json!(true)), "{told}");
        assert_eq!(told["events"][0]["kind"], "StartRequested");
        assert!(!told["expected"].as_array().unwrap().is_empty(), "{told}");
        let wish = json!({"name": "new", "template": "tiny"});
        let (_, told) = daemon.call("POST", "/v1/containers", &dry, Some(wish)).await;
        assert!(told["expected"].as_array().unwrap().len() >= 4, "{told}");
        assert_eq!(daemon.query.reader().position().unwrap(), before);
    });
}

#[test]
fn events_are_followed_and_resumed_exactly() {
    run(async |daemon| {
        daemon.with_container().await;
        let head = daemon.query.reader().position().unwrap().get();
        let all = |from: u64, count: usize| async move {
            let stream = daemon.send("GET", "/v1/events/follow", &[("Last-Event-ID", &from.to_string())], None).await;
            let seen = std::cell::Cell::new(0);
            let last = |_: &str| {
                seen.set(seen.get() + 1);
                seen.get() == count
            };
            let events = frames(stream, last).await;
            events
                .into_iter()
                .map(|(_, id, row)| (id.unwrap(), row["kind"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        };
        let whole = all(0, head as usize).await;
        assert_eq!(whole.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (1..=head).collect::<Vec<_>>());
        assert_eq!(all(head - 3, 3).await, whole[whole.len() - 3..]);
        let following = all(head, 2);
        let starting = daemon.done("/v1/containers/web/start", json!({}));
        let (live, _) = tokio::join!(following, starting);
        assert_eq!(live, [(head + 1, "StartRequested".to_owned()), (head + 2, "ContainerStarted".to_owned())]);
        // Whether the host has already told that it is ready is a matter of moments: the name is asked for exactly.
        let (_, list) = daemon.get("/v1/events?kind=Container*ted&limit=2").await;
        assert_eq!(list["items"][1]["kind"], "ContainerStarted", "{list}");
        let (_, detail) = daemon.get(&format!("/v1/events/{}", head + 1)).await;
        assert_eq!((&detail["kind"], &detail["name"]), (&json!("StartRequested"), &json!("web")));
        assert_eq!(detail["leaf"].as_str().unwrap().len(), 64);
    });
}

#[test]
fn an_outcome_is_told_even_to_those_who_come_late_or_again() {
    run(async |daemon| {
        let accepted = daemon.with_container().await;
        let operation = accepted["operation"].as_str().unwrap();
        let late = daemon.wait(operation, &[]).await;
        assert_eq!(late.last().unwrap().0, "outcome");
        let phases = phases_of(&late);
        assert!(phases.len() >= 5 && phases.is_sorted(), "{late:?}");
        let resumed = daemon.wait(operation, &[("Last-Event-ID", &phases[2].to_string())]).await;
        let rest = phases_of(&resumed);
        assert_eq!(rest, phases[3..]);
        let (_, row) = daemon.get(&format!("/v1/operations/{}", &operation[..8])).await;
        assert_eq!(
            (&row["state"], &row["verb"], &row["target_name"]),
            (&json!("done"), &json!("create"), &json!("web"))
        );
        let (status, _) = daemon.post(&format!("/v1/operations/{operation}/cancel"), json!({})).await;
        assert_eq!(status, 409);
        assert_eq!(daemon.query.owing_streams().unwrap(), []);
    });
}

#[test]
fn the_past_can_be_looked_at() {
    run(async |daemon| {
        daemon.with_container().await;
        let stopped = daemon.query.reader().position().unwrap();
        daemon.done("/v1/containers/web/start", json!({})).await;
        daemon.done("/v1/containers/web/rename", json!({"name": "front"})).await;
        let (_, row) = daemon.get(&format!("/v1/containers/web?as_of={stopped}")).await;
        assert_eq!((&row["name"], &row["state"]), (&json!("web"), &json!("stopped")), "{row}");
        let (_, list) = daemon.get(&format!("/v1/containers?as_of={stopped}")).await;
        assert_eq!((&list["items"][0]["state"], &list["as_of"]["position"]), (&json!("stopped"), &json!(stopped)));
        assert_eq!(daemon.get("/v1/containers?as_of=1h").await.1["items"], json!([]));
        assert_eq!(daemon.get("/v1/containers?as_of=tuesday").await.1["code"], "moment.invalid");
    });
}

#[test]
fn sessions_are_recorded_before_the_door_opens() {
    run(async |daemon| {
        daemon.with_container().await;
        let wish = |program: &str| json!({"argv": [program, "-l"], "environment": [], "user": null, "directory": null, "terminal": [24, 80]});
        let (status, problem) = daemon.post("/v1/containers/web/sessions", wish("sh")).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("container.not-running")));
        daemon.done("/v1/containers/web/start", json!({})).await;
        let (status, ticket) = daemon.post("/v1/containers/web/sessions", wish("sh")).await;
        assert_eq!((status, &ticket["token"]), (201, &json!("secret")), "{ticket}");
        let session = ticket["session"].as_str().unwrap();
        let (_, list) = daemon.get("/v1/events?kind=SessionOpened").await;
        let position = list["items"][0]["position"].as_u64().unwrap();
        let (_, event) = daemon.get(&format!("/v1/events/{position}")).await;
        assert_eq!(event["annex"]["argv"], json!(["sh", "-l"]));
        assert!(!event["body"].to_string().contains("-l"), "arguments stand in the annex alone");
        let (status, _) =
            daemon.post(&format!("/v1/containers/web/sessions/{session}/close"), json!({"code": 3})).await;
        assert_eq!(status, 202);
        let (_, list) = daemon.get("/v1/containers/web/sessions").await;
        assert_eq!((&list["items"][0]["code"], &list["items"][0]["user"]), (&json!(3), &json!("root")));
        assert_eq!(daemon.post("/v1/containers/web/sessions", wish("fails")).await.0, 409);
        assert_eq!(daemon.query.open_sessions().unwrap(), [], "a door that did not open is closed");
    });
}

#[test]
fn the_console_log_is_followed() {
    run(async |daemon| {
        daemon.with_container().await;
        let path = daemon.folder.path().join("console.log");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let (_, _, text) = daemon.raw("GET", "/v1/containers/web/log?tail=1", &[], None).await;
        assert!(text.contains("two") && !text.contains("one"), "{text}");
        let stream = daemon.send("GET", "/v1/containers/web/log?follow=true", &[], None).await;
        let mut lines = BufReader::new(stream).lines();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        let mut seen = vec![];
        while let Some(line) = lines.next_line().await.unwrap() {
            seen.push(line.clone());
            if line == "two" {
                file.write_all(b"three\n").unwrap();
            }
            if line == "three" {
                break;
            }
        }
        assert!(seen.contains(&"one".to_owned()), "{seen:?}");
    });
}

#[test]
fn stores_backups_restores_and_coverage() {
    run(async |daemon| {
        daemon.with_container().await;
        let (_, outcome) = daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        assert_eq!(daemon.get("/v1/coverage").await.1["items"][0]["warnings"][0]["code"], "none");
        let (_, outcome) = daemon.done("/v1/backups", json!({"containers": ["web"], "note": "first"})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (_, outcome) = daemon.done("/v1/backups", json!({"all": true})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (_, list) = daemon.get("/v1/backups?container=web").await;
        assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["store_name"]), (2, &json!("vault")));
        let (status, latest) = daemon.get("/v1/backups/web@latest").await;
        assert_eq!((status, &latest["container_name"]), (200, &json!("web")));
        assert_eq!(daemon.get("/v1/backups/web@1").await.0, 200);
        assert_eq!(daemon.get("/v1/backups/web@2").await.0, 404);
        let (_, head, content) = daemon.raw("GET", "/v1/backups/web@latest/content?path=/etc/motd", &[], None).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(content.bytes().filter(|byte| *byte == b'x').count(), 1_000_000);
        let (status, problem) = daemon.get("/v1/backups/web@latest/content?path=/absent").await;
        assert_eq!((status, problem["code"].as_str()), (404, Some("backup.no-such-path")));
        let (_, outcome) = daemon.done("/v1/backups/web@latest/verify", json!({})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let restore = json!({"to": "new", "name": "again"});
        let (_, outcome) = daemon.done("/v1/backups/web@latest/restore", restore).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        assert!(daemon.get("/v1/containers/again").await.1["restored_from"].is_string());
        let (_, coverage) = daemon.get("/v1/coverage").await;
        let web = coverage["items"].as_array().unwrap().iter().find(|row| row["name"] == "web").unwrap();
        let codes: Vec<_> = web["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].clone()).collect();
        assert_eq!(codes, ["no-schedule", "recovery-key"], "{web}");
        assert_eq!(daemon.get("/v1/stores/vault/recovery-key").await.1["key"], "KEY");
        daemon.post("/v1/stores/vault/confirm-recovery-key", json!({})).await;
        assert_eq!(daemon.get("/v1/stores/vault").await.1["recovery_key_confirmed"], true);
        assert_eq!(daemon.query.owing_streams().unwrap(), []);
    });
}

#[test]
fn schedules_networks_and_maintenance() {
    run(async |daemon| {
        let (_, outcome) = daemon.done("/v1/networks", json!({"name": "default"})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        daemon.with_container().await;
        let (_, network) = daemon.get("/v1/networks/default").await;
        assert_eq!(
            (&network["leases"][0]["container_name"], &network["subnet"]),
            (&json!("web"), &json!("10.99.0.0/24"))
        );
        let wish = json!({"name": "tidy", "cron": "0 3 * * *", "zone": "Europe/Budapest", "action": "defragment",
                          "select": {"names": ["w*"]}});
        let (_, outcome) = daemon.done("/v1/schedules", wish).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (_, row) = daemon.get("/v1/schedules/tidy").await;
        assert_eq!((&row["state"], row["next"].is_string()), (&json!("enabled"), true), "{row}");
        assert_eq!(daemon.get("/v1/schedules/tidy/next?count=3").await.1["items"].as_array().unwrap().len(), 3);
        let (_, outcome) = daemon.done("/v1/schedules/tidy/run-now", json!({})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (_, list) = daemon.get("/v1/maintenance?container=web&action=defragment").await;
        assert_eq!(
            (&list["items"][0]["state"], &list["items"][0]["result"]["result"]),
            (&json!("done"), &json!("defragmented"))
        );
        daemon.post("/v1/schedules/tidy/disable", json!({})).await;
        assert_eq!(daemon.get("/v1/schedules/tidy").await.1["state"], "disabled");
        let (_, status) = daemon.get("/v1/node").await;
        assert_eq!((&status["node"]["instance"], &status["containers"]["stopped"]), (&json!("0a1b2c3d"), &json!(1)));
        assert!(status["projections"].as_array().unwrap().iter().all(|row| row["error"].is_null()), "{status}");
        assert!(daemon.post("/v1/audit/checkpoint", json!({})).await.1["note"].is_string());
    });
}

#[test]
fn the_socket_is_for_root_alone_or_for_the_group() {
    run(async |daemon| {
        let mode = std::fs::metadata(&daemon.socket).unwrap().mode() & 0o777;
        assert_eq!(mode, if super::peer::group_id().is_some() { 0o660 } else { 0o600 });
    });
}
