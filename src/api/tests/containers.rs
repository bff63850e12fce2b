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
