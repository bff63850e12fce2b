//! Stores, backups, restores and coverage.

use serde_json::json;

use super::run;

#[test]
fn a_store_lies_apart_from_what_is_there_and_is_not_ready_when_it_is_gone() {
    run(async |daemon| {
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        for (path, status, code, words) in [
            ("/var/lib/berth/containers/x", 400, "store.inside-state", "is in /var/lib/berth, which"),
            ("/srv/vault/packs/more", 409, "store.exists", "lies in the store vault"),
            ("/srv/vault/", 409, "store.exists", "is the store vault"),
        ] {
            let (told, problem) = daemon.post("/v1/stores", json!({"name": "other", "path": path})).await;
            assert_eq!((told, &problem["code"]), (status, &json!(code)), "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
        }
        daemon.done("/v1/stores", json!({"name": "beside", "path": "/srv/vault2"})).await;
        assert!(daemon.get("/v1/stores/vault").await.1["trouble"].is_null());
        std::fs::write(daemon.folder.path().join("store-moved-away"), "").unwrap();
        let words = json!("the store in /srv/vault is not there: is its disk mounted?");
        assert_eq!(daemon.get("/v1/stores/vault").await.1["trouble"], words);
        assert_eq!(daemon.get("/v1/stores").await.1["items"][0]["trouble"], words);
    });
}

#[test]
fn a_restore_in_place_is_shown_until_it_is_confirmed() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
        assert!(daemon.get("/v1/containers/web").await.1["unconfirmed"].is_null());
        daemon.done("/v1/backups/web@latest/restore", json!({"to": "in-place"})).await;
        let id = daemon.get("/v1/restores").await.1["items"][0]["id"].clone();
        assert_eq!(daemon.get("/v1/containers/web").await.1["unconfirmed"], json!([id]));
        daemon.done(&format!("/v1/restores/{}/confirm", id.as_str().unwrap()), json!({})).await;
        assert!(daemon.get("/v1/containers/web").await.1["unconfirmed"].is_null());
    });
}

#[test]
fn what_became_of_a_restore_in_place_is_said_with_it() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
        for (end, what) in [("confirm", "confirmed"), ("roll-back", "rolled-back"), ("", "purged")] {
            let (restored, _) = daemon.done("/v1/backups/web@latest/restore", json!({"to": "in-place"})).await;
            let id = restored["operation"].as_str().unwrap().to_owned();
            let waiting = daemon.get(&format!("/v1/operations/{id}")).await.1;
            assert_eq!((&waiting["unconfirmed"], &waiting["afterwards"]), (&json!(true), &json!(null)), "{waiting}");
            if end.is_empty() {
                daemon.done("/v1/containers/web/delete", json!({})).await;
                assert_eq!(
                    daemon.get(&format!("/v1/operations/{id}")).await.1["unconfirmed"],
                    true,
                    "undelete has them"
                );
                daemon.done("/v1/containers/web/purge", json!({})).await;
            } else {
                daemon.done(&format!("/v1/restores/{id}/{end}"), json!({})).await;
            }
            let over = daemon.get(&format!("/v1/operations/{id}")).await.1;
            assert!(over["unconfirmed"].is_null() && over["afterwards"]["at"].is_string(), "{what}: {over}");
            assert_eq!(over["afterwards"]["what"], what, "{over}");
            let run = daemon.get(&format!("/v1/restores/{id}")).await.1;
            assert_eq!(
                (&run["old_files_kept"], run["purged_at"].is_string()),
                (&json!(false), end.is_empty()),
                "{run}"
            );
        }
        assert!(daemon.get("/v1/containers/web").await.1["unconfirmed"].is_null());
    });
}

#[test]
fn the_newest_backup_of_a_name_that_nobody_has_any_more_is_found_under_it() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        let mut made = vec![];
        for round in 0..2 {
            if round > 0 {
                daemon.done("/v1/containers", json!({"name": "web", "template": "tiny"})).await;
            }
            daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
            made.push(daemon.get("/v1/backups/web@latest").await.1["id"].clone());
            daemon.done("/v1/containers/web/delete", json!({})).await;
            daemon.done("/v1/containers/web/purge", json!({})).await;
        }
        assert_ne!(made[0], made[1]);
        assert_eq!(daemon.get("/v1/backups/web@latest").await.1["id"], made[1]);
        assert_eq!(daemon.get("/v1/backups/web@1").await.1["id"], made[0]);
        assert_eq!(daemon.get("/v1/backups/web@2").await.0, 404);
        let (status, problem) = daemon.get("/v1/containers/web").await;
        assert_eq!((status, &problem["code"]), (409, &json!("container.ambiguous")), "{problem}");
        assert_eq!(problem["detail"].as_str().unwrap().matches("(web, purged 20").count(), 2, "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains("berth backup list "), "{problem}");
        daemon.done("/v1/containers", json!({"name": "web", "template": "tiny"})).await;
        assert_eq!(daemon.get("/v1/backups/web@latest").await.0, 404, "the one that lives has none");
    });
}

#[test]
fn a_backup_becomes_a_container_of_any_template_with_the_same_files() {
    run(async |daemon| {
        daemon.with_container().await;
        daemon.done("/v1/stores", json!({"name": "vault", "path": "/srv/vault"})).await;
        daemon.done("/v1/backups", json!({"containers": ["web"]})).await;
        let path =
            format!("/v1/backups/{}/restore", daemon.get("/v1/backups/web@latest").await.1["id"].as_str().unwrap());
        let gone = async |name: &str| {
            for verb in ["delete", "purge"] {
                daemon.done(&format!("/v1/containers/{name}/{verb}"), json!({})).await;
            }
        };
        let create =
            async |name: &str| daemon.done("/v1/templates", json!({"name": name, "source": {"from": "host"}})).await;
        let delete = async |name: &str| {
            let (_, outcome) = daemon.done(&format!("/v1/templates/{name}/delete"), json!({})).await;
            assert_eq!(outcome["state"], "done", "{outcome}");
        };
        let needed = async |name: &str| daemon.get(&format!("/v1/templates/{name}")).await.1["needed_by"].clone();
        gone("web").await;
        assert_eq!(needed("tiny").await, 1);
        create("twin").await;
        assert_eq!(needed("tiny").await, json!(null), "another has the same files");
        delete("tiny").await;
        assert_eq!(needed("twin").await, 1);
        let (_, outcome) = daemon.done(&path, json!({"to": "new", "name": "again"})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        assert_eq!(daemon.get("/v1/containers/again").await.1["template_name"], "twin");
        gone("again").await;
        delete("twin").await;
        let (status, problem) = daemon.post(&path, json!({"to": "new", "name": "more"})).await;
        assert_eq!((status, &problem["code"]), (404, &json!("template.not-found")), "{problem}");
        let message = problem["detail"].as_str().unwrap();
        assert!(message.contains("the template tiny ") && message.contains("--into DIR"), "{problem}");
        assert_eq!(problem["hint"], "berth template create NAME --from-host");
        create("anew").await;
        let (_, outcome) = daemon.done(&path, json!({"to": "new", "name": "more"})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
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
        std::fs::write(daemon.folder.path().join("store-moved-away"), "").unwrap();
        let (_, coverage) = daemon.get("/v1/coverage").await;
        let web = coverage["items"].as_array().unwrap().iter().find(|row| row["name"] == "web").unwrap();
        let words = "its backups lie in vault: the store in /srv/vault is not there: is its disk mounted?";
        assert_eq!(web["warnings"][0], json!({"code": "store-not-usable", "text": words}), "{web}");
        assert_eq!(web["warnings"].as_array().unwrap().len(), 3, "{web}");
        std::fs::remove_file(daemon.folder.path().join("store-moved-away")).unwrap();
        assert_eq!(daemon.get("/v1/stores/vault/recovery-key").await.1["key"], "KEY");
        daemon.post("/v1/stores/vault/confirm-recovery-key", json!({})).await;
        assert_eq!(daemon.get("/v1/stores/vault").await.1["recovery_key_confirmed"], true);
        assert_eq!(daemon.query.owing_streams().unwrap(), []);
    });
}
