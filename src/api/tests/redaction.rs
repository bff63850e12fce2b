//! Command lines that carry secrets, and what becomes of what stands beside an event.

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::run;
use crate::storage::{Evidence, verify};

async fn position_of(daemon: &Daemon, kind: &str) -> u64 {
    let (_, list) = daemon.get(&format!("/v1/events?kind={kind}&limit=1")).await;
    list["items"][0]["position"].as_u64().unwrap()
}

fn kept(daemon: &Daemon) -> usize {
    let names = std::fs::read_dir(daemon.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.len() == 64).count()
}

async fn with_secret(daemon: &Daemon) -> u64 {
    daemon.done("/v1/templates", json!({"name": "tiny", "source": {"from": "host"}})).await;
    let wish = json!({"name": "job", "template": "tiny", "command": ["sh", "-c", "echo SECRET"]});
    let dry = daemon.call("POST", "/v1/containers", &[("Berth-Dry-Run", "true")], Some(wish.clone())).await;
    assert_eq!((dry.0, kept(daemon)), (200, 0), "{}", dry.1);
    let (_, outcome) = daemon.done("/v1/containers", wish).await;
    assert_eq!(outcome["state"], "done", "{outcome}");
    assert_eq!(kept(daemon), 1);
    position_of(daemon, "CreateRequested").await
}

async fn redact(daemon: &Daemon, position: u64) -> (u16, Value) {
    let said = [("Berth-Reason", "a password")];
    daemon.call("POST", &format!("/v1/events/{position}/redact"), &said, Some(json!({}))).await
}

#[test]
fn a_command_line_stands_in_the_annex_alone_until_it_is_redacted() {
    run(async |daemon| {
        let position = with_secret(daemon).await;
        let (_, event) = daemon.get(&format!("/v1/events/{position}")).await;
        assert_eq!(event["annex"]["command"], json!(["sh", "-c", "echo SECRET"]));
        for event in daemon.query.reader().read_all(crate::types::Position::default(), 1_000).unwrap() {
            assert!(!String::from_utf8_lossy(&event.body).contains("SECRET"), "{event:?}");
        }
        let row = daemon.get("/v1/containers/job").await.1;
        assert!(!row.to_string().contains("SECRET") && row["configuration"]["command"].is_string(), "{row}");

        assert_eq!(redact(daemon, position).await.0, 202);
        let (_, event) = daemon.get(&format!("/v1/events/{position}")).await;
        assert_eq!(event["annex"], Value::Null);
        let (_, told) = daemon.get(&format!("/v1/events/{}", position_of(daemon, "AnnexRedacted").await)).await;
        assert_eq!((&told["who"], &told["note"]), (&json!("root"), &json!("a password")));
        let report = verify(daemon.query.reader(), &Evidence::default()).unwrap();
        assert!(report.is_intact() && report.redacted == 1, "{:?}", report.told());
        assert_eq!(kept(daemon), 1, "the container is there and starts by it");
    });
}

#[test]
fn a_command_line_is_forgotten_when_its_container_is_purged_and_its_event_redacted() {
    run(async |daemon| {
        let position = with_secret(daemon).await;
        for verb in ["delete", "purge"] {
            let (_, outcome) = daemon.done(&format!("/v1/containers/job/{verb}"), json!({})).await;
            assert_eq!(outcome["state"], "done", "{outcome}");
        }
        assert_eq!(daemon.query.needed_commands().unwrap().len(), 1, "a backup of it can be restored");
        assert_eq!(redact(daemon, position).await.0, 202);
        assert_eq!((kept(daemon), daemon.query.needed_commands().unwrap().len()), (0, 0));
        assert_eq!(redact(daemon, position).await.1["events"], json!([]), "already so");
    });
}

#[test]
fn what_could_never_start_is_not_made_of_a_backup() {
    run(async |daemon| {
        let position = with_secret(daemon).await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        let (_, outcome) = daemon.done("/v1/backups", json!({"containers": ["job"]})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (_, list) = daemon.get("/v1/backups").await;
        let path = format!("/v1/backups/{}/restore", list["items"][0]["id"].as_str().unwrap());
        for verb in ["delete", "purge"] {
            daemon.done(&format!("/v1/containers/job/{verb}"), json!({})).await;
        }
        assert_eq!(redact(daemon, position).await.0, 202);
        let (status, problem) = daemon.post(&path, json!({"to": "new", "name": "again"})).await;
        assert_eq!((status, &problem["code"]), (409, &json!("backup.no-command")), "{problem}");
    });
}

#[test]
fn only_what_is_there_can_be_redacted() {
    run(async |daemon| {
        let position = with_secret(daemon).await;
        let dry = [("Berth-Dry-Run", "true")];
        let path = format!("/v1/events/{position}/redact");
        assert_eq!(daemon.call("POST", &path, &dry, Some(json!({}))).await.0, 200);
        assert!(daemon.get(&format!("/v1/events/{position}")).await.1["annex"].is_object());
        let bare = position_of(daemon, "ContainerCreated").await;
        for (path, status, code) in
            [(bare.to_string(), 409, "event.no-annex"), ("99999".to_owned(), 404, "event.not-found")]
        {
            let (told, problem) = daemon.post(&format!("/v1/events/{path}/redact"), json!({})).await;
            assert_eq!((told, &problem["code"]), (status, &json!(code)));
        }
        assert_eq!(daemon.post("/v1/events/x/redact", json!({})).await.0, 400);
    });
}
