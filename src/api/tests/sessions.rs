//! Sessions inside containers, and their consoles.

use std::io::Write;

use serde_json::json;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::run;

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
fn what_names_nothing_is_refused_by_what_it_is() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/containers/web/start", json!({})).await;
        for (argv, field, code, hint) in [
            (json!([]), "user", "session.argv", "berth exec web -- COMMAND"),
            (json!(["", "-l"]), "user", "session.argv", "berth exec web -- COMMAND"),
            (json!(["sh"]), "directory", "session.directory", "berth exec web --dir DIR -- COMMAND"),
            (json!(["sh"]), "user", "session.user", "berth exec web --user USER -- COMMAND"),
        ] {
            let mut wish = json!({"argv": argv, "environment": [], "user": null, "directory": null, "terminal": null});
            wish[field] = json!("");
            let (status, problem) = daemon.post("/v1/containers/web/sessions", wish).await;
            assert_eq!((status, &problem["code"], &problem["hint"]), (400, &json!(code), &json!(hint)), "{problem}");
        }
        assert_eq!(daemon.get("/v1/containers/web/sessions").await.1["items"], json!([]), "nothing of it is recorded");
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
