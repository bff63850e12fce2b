//! What holds for every request: errors, idempotency keys, dry runs, looks at the past, and who may ask.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::run;
use crate::api::peer;
use crate::storage::Level;

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
fn the_socket_is_for_root_alone_or_for_the_group() {
    run(async |daemon| {
        let mode = std::fs::metadata(&daemon.socket).unwrap().mode() & 0o777;
        assert_eq!(mode, if peer::group_id().is_some() { 0o660 } else { 0o600 });
    });
}
