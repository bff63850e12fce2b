//! Who asked and what they said about it, wherever it is shown; and reads, which are told before they are answered.

use serde_json::{Value, json};

use super::run;

const READS: [&str; 3] = [
    "/v1/backups/web@latest/files?below=/srv/secret-place",
    "/v1/backups/web@latest/content?path=/etc/motd",
    "/v1/containers/web/log",
];

fn sentences(events: &Value) -> Vec<String> {
    let items = events["items"].as_array().unwrap();
    items
        .iter()
        .map(|event| format!("{} {}", event["who"].as_str().unwrap(), event["sentence"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_was_said_shows_on_the_thing_the_operation_and_the_history() {
    run(async |daemon| {
        daemon.with_container().await;
        let said = [("Berth-Reason", "kernel%20update")];
        for verb in ["start", "restart", "stop"] {
            let (status, accepted) =
                daemon.call("POST", &format!("/v1/containers/web/{verb}"), &said, Some(json!({}))).await;
            assert_eq!(status, 202, "{accepted}");
            daemon.wait(accepted["operation"].as_str().unwrap(), &[]).await;
            let (_, row) = daemon.get("/v1/containers/web").await;
            assert_eq!(
                (&row["change"]["by"], &row["change"]["note"]),
                (&json!("root"), &json!("kernel update")),
                "{verb}"
            );
            let (_, list) = daemon.get("/v1/containers?notes=true").await;
            assert_eq!(list["items"][0]["change"]["note"], "kernel update");
            let (_, list) = daemon.get("/v1/operations?limit=1").await;
            assert_eq!((&list["items"][0]["verb"], &list["items"][0]["note"]), (&json!(verb), &json!("kernel update")));
        }
        let (_, events) = daemon.get("/v1/events?container=web&limit=1000").await;
        let noted = events["items"].as_array().unwrap().iter().filter(|event| event["note"] == "kernel update");
        assert_eq!(noted.count(), 3, "{events:#}");
        let stray = sentences(&events)
            .into_iter()
            .find(|told| told.starts_with("berth ") && !told.contains("ended") && !told.ends_with("ready"));
        assert_eq!(stray, None, "what follows from a request is recorded under the name of who asked");
    });
}

#[test]
fn what_a_batch_does_is_done_by_whoever_asked_for_it() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        let (_, before) = daemon.get("/v1/events?limit=1").await;
        let before = before["items"][0]["position"].as_u64().unwrap();
        let (_, outcome) = daemon.done("/v1/backups", json!({"all": true})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (_, events) = daemon.get("/v1/events?limit=1000").await;
        let since =
            events["items"].as_array().unwrap().iter().filter(|event| event["position"].as_u64() > Some(before));
        let told: Vec<_> = since.map(|event| format!("{} {}", event["who"], event["sentence"])).collect();
        assert!(told.len() > 10, "{told:#?}");
        assert_eq!(told.iter().find(|told| !told.starts_with("\"root\"")), None, "{told:#?}");
        let (_, list) = daemon.get("/v1/operations?limit=2").await;
        let by: Vec<_> = list["items"].as_array().unwrap().iter().map(|row| row["by"].clone()).collect();
        assert_eq!(by, ["root", "root"], "{list}");
    });
}

#[test]
fn what_was_said_about_a_backup_shows_in_the_list() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"], "note": "before the upgrade"})).await;
        let (_, list) = daemon.get("/v1/backups").await;
        assert_eq!(list["items"][0]["note"], "before the upgrade");
        assert_eq!(daemon.get("/v1/backups/web@latest").await.1["note"], "before the upgrade");
    });
}

#[test]
fn reads_are_told_with_who_and_their_paths_stand_in_the_annex() {
    run(async |daemon| {
        daemon.with_container().await;
        std::fs::write(daemon.folder.path().join("console.log"), "one\n").unwrap();
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
        for path in READS {
            assert!(daemon.raw("GET", path, &[], None).await.1.starts_with("HTTP/1.1 200"), "{path}");
        }
        assert_eq!(daemon.get("/v1/stores/vault/recovery-key").await.1["key"], "KEY");
        let (_, events) = daemon.get("/v1/events?limit=4").await;
        let told = sentences(&events);
        assert!(told[0].starts_with("root files of backup") && told[0].ends_with("listed"), "{told:?}");
        assert!(told[1].starts_with("root file of backup") && told[1].ends_with("read"), "{told:?}");
        assert_eq!(told[2..], ["root console log read", "root recovery key shown"]);
        let position = events["items"][0]["position"].as_u64().unwrap();
        let (_, event) = daemon.get(&format!("/v1/events/{position}")).await;
        assert_eq!(event["annex"]["path"], "/srv/secret-place");
        assert!(!event["body"].to_string().contains("secret-place"), "{event}");
        let (_, history) = daemon.get("/v1/containers/web/history").await;
        assert!(sentences(&history).contains(&"root console log read".to_owned()), "{history:#}");
    });
}

#[test]
fn what_cannot_be_told_is_not_shown() {
    run(async |daemon| {
        daemon.with_container().await;
        std::fs::write(daemon.folder.path().join("console.log"), "one\n").unwrap();
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
        let secrets = READS.into_iter().chain(["/v1/stores/vault/recovery-key"]);
        for path in secrets.clone() {
            let (status, problem) = daemon.call("GET", path, &[("Berth-Dry-Run", "true")], None).await;
            assert_eq!((status, &problem["code"]), (400, &json!("request.dry-run")), "{path}");
        }
        daemon.log.close();
        for path in secrets {
            let (status, problem) = daemon.get(path).await;
            assert_eq!((status, &problem["code"]), (507, &json!("audit.not-recorded")), "{path}: {problem}");
        }
    });
}
