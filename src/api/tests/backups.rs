//! Stores, backups, restores and coverage.

use serde_json::json;

use super::run;

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
