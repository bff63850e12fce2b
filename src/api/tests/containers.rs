//! A container through the API, from its creation to its purge.

use serde_json::json;

use super::run;

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
fn what_is_gone_is_history_and_no_command_finds_it() {
    run(async |daemon| {
        for (path, body) in [
            ("/v1/networks", json!({"name": "default"})),
            ("/v1/networks", json!({"name": "lab", "subnet": "10.98.0.0/24"})),
            ("/v1/templates", json!({"name": "old", "source": {"from": "host"}})),
            ("/v1/templates", json!({"name": "tiny", "source": {"from": "host"}})),
        ] {
            assert_eq!(daemon.done(path, body).await.1["state"], "done", "{path}");
        }
        for path in ["/v1/networks/default/delete", "/v1/networks/lab/delete", "/v1/templates/old/delete"] {
            assert_eq!(daemon.done(path, json!({})).await.1["state"], "done", "{path}");
        }
        let (accepted, outcome) = daemon.done("/v1/containers", json!({"name": "web", "template": "tiny"})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let warning = accepted["warnings"][0].as_str().unwrap();
        assert!(warning.contains("there is no network named default"), "{warning}");
        assert_eq!(daemon.get("/v1/containers/web").await.1["configuration"]["network"], json!(null));
        let (accepted, _) =
            daemon.done("/v1/containers", json!({"name": "db", "template": "tiny", "network": "none"})).await;
        assert_eq!(accepted["warnings"], json!(null));
        for (path, body, code) in [
            ("/v1/containers", json!({"name": "x", "template": "old"}), "template.not-found"),
            ("/v1/containers", json!({"name": "x", "template": "tiny", "network": "lab"}), "network.not-found"),
            ("/v1/templates/old/verify", json!({}), "template.not-found"),
            ("/v1/networks/lab/delete", json!({}), "network.not-found"),
        ] {
            let (status, problem) = daemon.post(path, body).await;
            assert_eq!((status, problem["code"].as_str()), (404, Some(code)), "{path}: {problem}");
        }
        assert_eq!(daemon.get("/v1/networks/lab").await.1["state"], "deleted", "it can still be looked at");
        assert_eq!(daemon.get("/v1/containers?all=true").await.1["items"].as_array().unwrap().len(), 2, "no dead rows");
    });
}

#[test]
fn a_container_is_not_called_as_another_s_id_begins() {
    run(async |daemon| {
        let id = daemon.with_container().await["id"].as_str().unwrap().to_owned();
        let create = |name: &str| json!({"name": name, "template": "tiny"});
        assert_eq!(daemon.done("/v1/containers", create("db")).await.1["state"], "done");
        for name in [&id[..4], &id[..8], &id] {
            let (status, problem) = daemon.post("/v1/containers", create(name)).await;
            assert_eq!((status, problem["code"].as_str()), (409, Some("name.like-an-id")), "{problem}");
            let (status, problem) = daemon.post("/v1/containers/db/rename", json!({"name": name})).await;
            assert_eq!((status, problem["code"].as_str()), (409, Some("name.like-an-id")), "{problem}");
        }
        daemon.done("/v1/containers/db/delete", json!({})).await;
        let (status, problem) = daemon.post("/v1/containers/db/undelete", json!({"name": &id[..6]})).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("name.like-an-id")), "{problem}");
    });
}
