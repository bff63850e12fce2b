//! Schedules, the maintenance that they ask for, and the networks of their containers.

use serde_json::json;

use super::run;

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
        let wish = json!({"name": "o", "subnet": "10.66.3.0/24"});
        let (status, problem) = daemon.post("/v1/networks", wish).await;
        assert_eq!((status, problem["code"].as_str()), (409, Some("network.overlaps-host")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("the address 10.66.0.1/16 of eth0"), "{problem}");
        let wish = json!({"name": "o", "subnet": "10.66.3.0/24", "force": true});
        let (status, accepted) = daemon.post("/v1/networks", wish).await;
        assert_eq!(status, 202, "{accepted}");
        assert!(accepted["warnings"][0].as_str().unwrap().contains("the address 10.66.0.1/16 of eth0"), "{accepted}");
        let wish = json!({"name": "tidy", "cron": "0 3 * * *", "zone": "Europe/Budapest", "action": "defragment",
                          "select": {"names": ["w*"]}});
        let (_, outcome) = daemon.done("/v1/schedules", wish).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        let (_, row) = daemon.get("/v1/schedules/tidy").await;
        assert_eq!((&row["state"], row["next"].is_string()), (&json!("enabled"), true), "{row}");
        assert_eq!(daemon.get("/v1/schedules/tidy/next?count=3").await.1["items"].as_array().unwrap().len(), 3);
        for (count, code) in [(0, 400), (1, 200), (1_000, 200), (1_001, 400), (5_000, 400)] {
            let (status, answer) = daemon.get(&format!("/v1/schedules/tidy/next?count={count}")).await;
            assert_eq!(status, code, "{count}: {answer}");
            let items = answer["items"].as_array().map(Vec::len);
            let told = answer["detail"].as_str().is_some_and(|why| why.contains("1 is the least and 1000 the most"));
            assert!(items == Some(count) || told, "{count}: {answer}");
        }
        let windowed = |window: &str| json!({"name": "late", "cron": "0 3,22 * * *", "action": "defragment", "select": "all", "window": window});
        let (status, problem) = daemon.post("/v1/schedules", windowed("12:00-13:00")).await;
        assert_eq!((status, &problem["code"]), (400, &json!("schedule.window")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().ends_with("is in the window 12:00-13:00"), "{problem}");
        let wish = json!({"name": "late", "cron": "*/5 * * * *", "action": "defragment", "select": "all",
                          "window": "03:00-03:10"});
        daemon.done("/v1/schedules", wish).await;
        let (_, row) = daemon.get("/v1/schedules/late").await;
        assert!(row["next"].as_str().is_some_and(|next| next.contains("T03:0")), "the next run is told: {row}");
        let (_, outcome) = daemon.done("/v1/schedules/tidy/run-now", json!({})).await;
        assert_eq!(outcome["state"], "done", "{outcome}");
        assert_eq!(outcome["members"][0]["deed"], "defragmented", "{outcome}");
        let (_, row) = daemon.get("/v1/schedules/tidy").await;
        let run = &row["by_hand"];
        assert_eq!((&run["state"], &run["told"]), (&json!("done"), &json!("1 defragmented")), "{row}");
        assert_eq!((&run["operation"], &row["fired"]), (&outcome["operation"], &json!(0)), "{row}");
        assert_eq!(daemon.get("/v1/schedules/late").await.1["by_hand"], json!(null), "the run of another");
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
