//! What is easily got wrong, and what the answer must not lead to.

use serde_json::json;

use super::run;

#[test]
fn what_contradicts_itself_is_refused() {
    run(async |daemon| {
        daemon.with_container().await;
        let refused = [
            ("/v1/networks", json!({"name": "none"}), 400, "name.reserved"),
            ("/v1/networks", json!({"name": "tiny", "subnet": "10.78.0.0/31"}), 400, "network.subnet-too-small"),
            (
                "/v1/containers",
                json!({"name": "n1", "template": "tiny", "network": "none", "address": "10.77.0.3"}),
                400,
                "address.no-network",
            ),
            ("/v1/backups", json!({"all": true, "store": "vault", "parallel": 0}), 400, "parallel.invalid"),
            ("/v1/maintenance", json!({"action": "defragment", "all": true, "parallel": 0}), 400, "parallel.invalid"),
            (
                "/v1/schedules",
                json!({"name": "s", "cron": "0 3 * * *", "action": "defragment", "select": "all", "parallel": 0}),
                400,
                "parallel.invalid",
            ),
        ];
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        for (path, wish, status, code) in refused {
            let (told, problem) = daemon.post(path, wish).await;
            assert_eq!((told, &problem["code"]), (status, &json!(code)), "{problem}");
        }
    });
}

#[test]
fn what_is_taken_back_or_purged_lies_in_a_grave_whatever_lives_under_its_name() {
    run(async |daemon| {
        daemon.with_container().await;
        let old = daemon.get("/v1/containers/web").await.1["id"].clone();
        daemon.done("/v1/containers/web/delete", json!({})).await;
        daemon.done("/v1/containers", json!({"name": "web", "template": "tiny"})).await;
        let (status, problem) = daemon.post("/v1/containers/web/undelete", json!({})).await;
        assert_eq!((status, &problem["code"]), (409, &json!("name.taken")), "{problem}");
        let (_, outcome) = daemon.done("/v1/containers/web/undelete", json!({"name": "old"})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        assert_eq!(daemon.get("/v1/containers/old").await.1["id"], old);
        let (status, problem) = daemon.post("/v1/containers/web/purge", json!({})).await;
        assert_eq!((status, &problem["code"]), (409, &json!("container.not-deleted")), "{problem}");
        assert!(
            !problem.to_string().contains("container delete"),
            "a next command that takes the living one: {problem}"
        );
    });
}

#[test]
fn a_restore_in_place_is_taken_back_of_what_runs() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
        daemon.done("/v1/containers/web/start", json!({})).await;
        daemon.done("/v1/backups/web@latest/restore", json!({"to": "in-place"})).await;
        let (_, restores) = daemon.get("/v1/restores").await;
        let path = format!("/v1/restores/{}/roll-back", restores["items"][0]["id"].as_str().unwrap());
        let (_, outcome) = daemon.done(&path, json!({})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        assert_eq!(daemon.get("/v1/containers/web").await.1["state"], "running");
    });
}

#[test]
fn a_conflict_that_is_there_already_is_a_refusal_and_no_failed_operation() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
        daemon.done("/v1/containers/web/delete", json!({})).await;
        let before = daemon.get("/v1/operations").await.1["items"].as_array().unwrap().len();
        for (path, wish) in [
            ("/v1/backups", json!({"containers": ["web"]})),
            ("/v1/maintenance", json!({"action": "defragment", "containers": ["web"]})),
            ("/v1/backups/web@latest/restore", json!({"to": "in-place"})),
            ("/v1/containers/web/sessions", json!({"argv": ["true"], "environment": []})),
        ] {
            let (status, problem) = daemon.post(path, wish).await;
            assert_eq!((status, &problem["code"]), (409, &json!("container.deleted")), "{path}: {problem}");
            assert_eq!(problem["hint"], "berth container undelete web", "{path}");
        }
        assert_eq!(daemon.get("/v1/operations").await.1["items"].as_array().unwrap().len(), before);
    });
}

#[test]
fn a_container_whose_network_or_address_is_gone_comes_back_elsewhere() {
    run(async |daemon| {
        daemon.done("/v1/templates", json!({"name": "tiny", "source": {"from": "host"}})).await;
        daemon.done("/v1/networks", json!({"name": "lab", "subnet": "10.77.0.0/24"})).await;
        let fixed = |name: &str| json!({"name": name, "template": "tiny", "network": "lab", "address": "10.77.0.9"});
        daemon.done("/v1/containers", fixed("web")).await;
        daemon.done("/v1/containers/web/delete", json!({})).await;
        daemon.done("/v1/containers", fixed("other")).await;
        let (status, problem) = daemon.post("/v1/containers/web/undelete", json!({})).await;
        assert_eq!((status, &problem["code"]), (409, &json!("address.taken")), "{problem}");
        let hint = problem["hint"].as_str().unwrap();
        assert_eq!(hint, "berth container undelete web --ip auto (or: --ip ADDRESS)");
        daemon.done("/v1/containers/web/undelete", json!({"address": "auto"})).await;
        let web = daemon.get("/v1/containers/web").await.1;
        assert_eq!((&web["state"], &web["configuration"]["address"]), (&json!("stopped"), &json!("auto")), "{web}");
        for name in ["web", "other"] {
            daemon.done(&format!("/v1/containers/{name}/delete"), json!({})).await;
        }
        daemon.done("/v1/networks/lab/delete", json!({})).await;
        let (status, problem) = daemon.post("/v1/containers/web/undelete", json!({})).await;
        assert_eq!((status, &problem["code"]), (409, &json!("network.gone")), "{problem}");
        assert_eq!(problem["detail"], "the network lab that web was in is gone");
        let hint = problem["hint"].as_str().unwrap();
        assert_eq!(hint, "berth container undelete web --network none (or: --network NETWORK)");
        daemon.done("/v1/containers/web/undelete", json!({"network": "none"})).await;
        daemon.done("/v1/networks", json!({"name": "new", "subnet": "10.78.0.0/24"})).await;
        daemon.done("/v1/containers/other/undelete", json!({"network": "new", "address": "10.78.0.5"})).await;
        let other = daemon.get("/v1/containers/other").await.1;
        assert_eq!((&other["state"], &other["network_name"]), (&json!("stopped"), &json!("new")), "{other}");
    });
}

#[test]
fn a_restore_whose_network_is_gone_says_that_it_has_none() {
    run(async |daemon| {
        daemon.done("/v1/templates", json!({"name": "tiny", "source": {"from": "host"}})).await;
        daemon.done("/v1/networks", json!({"name": "lab"})).await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/containers", json!({"name": "web", "template": "tiny", "network": "lab"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
        for verb in ["delete", "purge"] {
            daemon.done(&format!("/v1/containers/web/{verb}"), json!({})).await;
        }
        let (_, outcome) = daemon.done("/v1/networks/lab/delete", json!({})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (_, backups) = daemon.get("/v1/backups").await;
        let path = format!("/v1/backups/{}/restore", backups["items"][0]["id"].as_str().unwrap());
        let (status, accepted) = daemon.post(&path, json!({"to": "new", "name": "again"})).await;
        assert_eq!(status, 202, "{accepted}");
        assert_eq!(accepted["warnings"], json!(["the network it was in is gone, so it has none"]));
        daemon.wait(accepted["operation"].as_str().unwrap(), &[]).await;
        assert_eq!(daemon.get("/v1/containers/again").await.1["state"], "stopped");
    });
}
