//! Streams of events: everything that happens, and what an operation comes to.

use serde_json::{Value, json};

use super::daemon::frames;
use super::run;

#[test]
fn events_are_followed_and_resumed_exactly() {
    run(async |daemon| {
        daemon.with_container().await;
        let head = daemon.query.reader().position().unwrap().get();
        let all = |from: u64, count: usize| async move {
            let stream = daemon.send("GET", "/v1/events/follow", &[("Last-Event-ID", &from.to_string())], None).await;
            let seen = std::cell::Cell::new(0);
            let last = |_: &str| {
                seen.set(seen.get() + 1);
                seen.get() == count
            };
            let events = frames(stream, last).await;
            events
                .into_iter()
                .map(|(_, id, row)| (id.unwrap(), row["kind"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        };
        let whole = all(0, head as usize).await;
        assert_eq!(whole.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (1..=head).collect::<Vec<_>>());
        assert_eq!(all(head - 3, 3).await, whole[whole.len() - 3..]);
        let following = all(head, 2);
        let starting = daemon.done("/v1/containers/web/start", json!({}));
        let (live, _) = tokio::join!(following, starting);
        assert_eq!(live, [(head + 1, "StartRequested".to_owned()), (head + 2, "ContainerStarted".to_owned())]);
        // Whether the host has already told that it is ready is a matter of moments: the name is asked for exactly.
        let (status, problem) = daemon.get("/v1/events?limit=10001").await;
        assert_eq!((status, &problem["code"]), (400, &json!("limit.invalid")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("10000 are the most"), "{problem}");
        assert_eq!(daemon.get("/v1/events?limit=10000").await.0, 200);
        let (_, list) = daemon.get("/v1/events?kind=Container*ted&limit=2").await;
        assert_eq!(list["items"][1]["kind"], "ContainerStarted", "{list}");
        let (_, detail) = daemon.get(&format!("/v1/events/{}", head + 1)).await;
        assert_eq!((&detail["kind"], &detail["name"]), (&json!("StartRequested"), &json!("web")));
        assert_eq!(detail["leaf"].as_str().unwrap().len(), 64);
    });
}

#[test]
fn an_outcome_is_told_even_to_those_who_come_late_or_again() {
    run(async |daemon| {
        let accepted = daemon.with_container().await;
        let operation = accepted["operation"].as_str().unwrap();
        let late = daemon.wait(operation, &[]).await;
        assert_eq!(late.last().unwrap().0, "outcome");
        let phases = phases_of(&late);
        assert!(phases.len() >= 5 && phases.is_sorted(), "{late:?}");
        let resumed = daemon.wait(operation, &[("Last-Event-ID", &phases[2].to_string())]).await;
        let rest = phases_of(&resumed);
        assert_eq!(rest, phases[3..]);
        let (_, row) = daemon.get(&format!("/v1/operations/{}", &operation[..8])).await;
        assert_eq!(
            (&row["state"], &row["verb"], &row["target_name"]),
            (&json!("done"), &json!("create"), &json!("web"))
        );
        let (status, _) = daemon.post(&format!("/v1/operations/{operation}/cancel"), json!({})).await;
        assert_eq!(status, 409);
        assert_eq!(daemon.query.owing_streams().unwrap(), []);
    });
}

/// Returns the positions of the phases among what a wait told.
fn phases_of(events: &[(String, Option<u64>, Value)]) -> Vec<u64> {
    events.iter().filter(|(name, ..)| name == "phase").filter_map(|(_, id, _)| *id).collect()
}
