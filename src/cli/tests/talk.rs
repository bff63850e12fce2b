//! What goes over the socket, and what is made of the answers.

use serde_json::{Value, json};

use super::server::{Answer, Asked, Server};
use super::{berth, unread};
use crate::api::client::Started;

const OPERATION: &str = "abcdefghijklmnopqrstuvwxya";
const STREAM: &str = "container/abcdefghijklmnopqrstuvwxyz";

fn json(value: &Value) -> Answer {
    (200, "application/json", value.to_string())
}

fn problem(status: u16, code: &str, detail: &str, hint: &str) -> Answer {
    let body =
        json!({"type": "about:blank", "title": "x", "status": status, "code": code, "detail": detail, "hint": hint});
    (status, "application/problem+json", body.to_string())
}

fn accepted(done: bool, events: &Value) -> Answer {
    let body =
        json!({"operation": OPERATION, "stream": STREAM, "id": "x", "name": "web1", "events": events, "done": done});
    (202, "application/json", body.to_string())
}

fn outcome(state: &str, reason: Option<&str>) -> Answer {
    let phase = json!({"operation": OPERATION, "stream": STREAM, "phase": "mount", "sentence": "s", "position": 7,
        "at": "2026-11-23T12:00:00Z"});
    let outcome =
        json!({"operation": OPERATION, "state": state, "reason": reason, "closed_at": "2026-11-23T12:00:00Z"});
    let text = format!(": hello\n\nid: 7\nevent: phase\ndata: {phase}\n\nid: 9\nevent: outcome\ndata: {outcome}\n\n");
    (200, "text/event-stream", text)
}

/// Accepts every change, and every operation ends so.
fn changing(state: &'static str, reason: Option<&'static str>) -> Server {
    Server::new(move |asked: &Asked| {
        if asked.line.starts_with("POST") {
            return accepted(false, &json!([{"kind": "StartRequested", "sentence": "start requested"}]));
        }
        outcome(state, reason)
    })
}

#[test]
fn a_change_is_asked_for_waited_for_and_its_undo_told() {
    let server = changing("done", None);
    let said = berth(server.path(), "start web1 --reason 'für alle'");
    assert!(said.ended(0), "{said:?}");
    assert!(said.out.starts_with("web1: started in "), "{said:?}");
    let undo = format!("Undo: berth --state {} container stop web1\n", server.path().display());
    assert!(said.out.ends_with(&undo), "{said:?}");
    let asked = server.asked();
    assert_eq!(asked[0].line, "POST /v1/containers/web1/start HTTP/1.1");
    assert_eq!(asked[0].header("berth-reason"), Some("f%C3%BCr%20alle"));
    assert_eq!(asked[0].header("idempotency-key").map(str::len), Some(26));
    assert_eq!(asked[1].line, format!("GET /v1/operations/{OPERATION}/wait HTTP/1.1"));
}

#[test]
fn how_an_operation_ends_is_the_exit_code() {
    for (state, code) in [("partly", 3), ("failed", 1), ("skipped", 6), ("cancelled", 1), ("stuck", 1)] {
        let said = berth(changing(state, Some("because")).path(), "start web1");
        assert!(said.ended(code), "{state}: {said:?}");
        assert!(said.out.contains("because") || said.err.contains("because"), "{state}: {said:?}");
    }
}

#[test]
fn of_several_each_is_told_how_long_it_took() {
    let server = Server::new(|asked: &Asked| {
        if asked.line.starts_with("POST") {
            return accepted(false, &json!([{"kind": "StopRequested", "sentence": "stop requested"}]));
        }
        let outcome = json!({"operation": OPERATION, "state": "done", "reason": null,
            "opened_at": "2026-11-23T12:00:00Z", "closed_at": "2026-11-23T12:00:03Z"});
        (200, "text/event-stream", format!("id: 9\nevent: outcome\ndata: {outcome}\n\n"))
    });
    let said = berth(server.path(), "stop web1 web2 -y");
    for name in ["web1", "web2"] {
        assert!(said.out.contains(&format!("{name}: stopped in 3.0s\n")), "{said:?}");
    }
}

#[test]
fn what_was_begun_in_turn_goes_on_though_nobody_reads() {
    let server = changing("done", None);
    let said = unread(server.path(), "container create web1 -t debian --start");
    assert!(said.ended(0), "{said:?}");
    assert!(server.asked().iter().any(|asked| asked.line.starts_with("POST /v1/containers/web1/start")));
}

#[test]
fn a_name_that_nobody_has_is_not_an_empty_list() {
    let server = Server::new(|asked: &Asked| match asked.line.as_str() {
        line if line.starts_with("GET /v1/containers/nope") => {
            problem(404, "container.not-found", "there is no container \"nope\"", "berth container list")
        }
        _ => json(&json!({"items": []})),
    });
    let said = berth(server.path(), "ps nope");
    assert!(said.ended(5) && said.err.contains("there is no container"), "{said:?}");
    assert!(berth(server.path(), "ps 'nope*'").ended(0), "a pattern may fit none");
}

#[test]
fn without_waiting_the_id_alone_is_printed() {
    let server = changing("done", None);
    let said = berth(server.path(), "start web1 --no-wait");
    assert!(said.ended(0) && said.out == format!("{OPERATION}\n"), "{said:?}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn json_has_the_operation_its_outcome_and_the_undo() {
    let said = berth(changing("done", None).path(), "start web1 -o json");
    let document: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(document["operation"], OPERATION);
    assert_eq!(document["outcome"]["state"], "done");
    assert_eq!(document["undo"], "berth container stop web1");
    let said = berth(changing("done", None).path(), "start web1 web2 -o json");
    let document: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(document["items"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_so_already_is_said_to_be_so() {
    let server = Server::new(|_: &Asked| accepted(true, &json!([])));
    let said = berth(server.path(), "start web1");
    assert!(said.ended(0) && said.out == "web1: already started; nothing was changed\n", "{said:?}");
}

#[test]
fn a_dry_run_asks_for_one_and_shows_the_plan() {
    let server = Server::new(|_: &Asked| {
        json(&json!({"dry_run": true, "events": [{"kind": "DeleteRequested", "sentence": "deletion requested"}],
            "expected": ["unmount"]}))
    });
    let said = berth(server.path(), "container delete web1 -n --grave 4w");
    assert!(
        said.ended(0) && said.out.contains("DeleteRequested  deletion requested\n  expected: unmount\n"),
        "{said:?}"
    );
    let asked = &server.asked()[0];
    assert_eq!(asked.header("berth-dry-run"), Some("true"));
    assert_eq!(asked.body, r#"{"grave":"4w"}"#);
}

#[test]
fn a_refusal_is_worded_by_the_daemon_and_its_class_is_the_exit_code() {
    for (status, code) in [(400, 2), (403, 4), (404, 5), (409, 6), (507, 7), (500, 1), (501, 1), (503, 1)] {
        let server = Server::new(move |_: &Asked| problem(status, "x.y", "it cannot be\u{1b}[2J", "try that"));
        let said = berth(server.path(), "container show web1");
        assert!(said.ended(code), "{status}: {said:?}");
        assert_eq!(said.err, "error: it cannot be\\u{1b}[2J  [x.y]\n  try that\n");
    }
}

#[test]
fn one_of_several_that_fails_is_partly() {
    let server = Server::new(|asked: &Asked| match asked.line.as_str() {
        line if line.contains("web2") => problem(404, "container.not-found", "no container", "did you mean web1?"),
        line if line.starts_with("POST") => accepted(true, &json!([{"kind": "k", "sentence": "s"}])),
        _ => outcome("done", None),
    });
    let said = berth(server.path(), "container pause web1 web2");
    assert!(said.ended(3) && said.out.starts_with("web1: paused\n") && said.err.contains("did you mean"), "{said:?}");
    let said = berth(server.path(), "container pause web2");
    assert!(said.ended(5), "{said:?}");
}

#[test]
fn of_several_that_are_refused_each_is_named_and_nothing_was_done() {
    let server = Server::new(|asked: &Asked| match asked.line.as_str() {
        line if line.contains("nope") => problem(404, "container.not-found", "there is no container \"nope\"", "x"),
        _ => problem(409, "container.running", "the container is running", "y"),
    });
    let said = berth(server.path(), "container delete web1 nope -y");
    let told = "error: web1: the container is running  [container.running]\n  y\n\
                error: there is no container \"nope\"  [container.not-found]\n  x\n";
    assert!(said.ended(6) && said.err == told, "{said:?}");
    let said = berth(server.path(), "container delete web1");
    assert!(said.err.starts_with("error: the container is running"), "{said:?}");
}

/// Ends as an operation on two containers.
fn batch(state: &'static str, members: [(&'static str, &'static str); 2]) -> Server {
    Server::new(move |asked: &Asked| {
        if asked.line.starts_with("POST") {
            return accepted(false, &json!([{"kind": "BatchRequested", "sentence": "batch of 2 requested"}]));
        }
        let member = |name: &str, (state, reason): (&str, &str)| json!({"name": name, "state": state, "deed": "asked", "reason": reason});
        let outcome = json!({"operation": OPERATION, "state": state, "reason": "told below",
            "members": [member("web1", members[0]), member("web2", members[1])], "closed_at": "2026-11-23T12:00:00Z"});
        (200, "text/event-stream", format!("id: 9\nevent: outcome\ndata: {outcome}\n\n"))
    })
}

#[test]
fn of_an_operation_on_many_each_one_is_told_how_it_went() {
    let line = "container update-check web1 web2";
    let none = ("skipped", "no package manager is in it");
    let said = berth(batch("skipped", [none, none]).path(), line);
    let told = "web1: skipped: no package manager is in it\nweb2: skipped: no package manager is in it\n";
    assert!(said.ended(6) && said.out == told && said.err.contains("[operation.skipped]"), "{said:?}");
    let said = berth(batch("partly", [("failed", "full"), none]).path(), line);
    assert!(said.ended(3) && said.out.starts_with("web1: failed: full\nweb2: skipped: no"), "{said:?}");
    assert!(said.out.contains("s: 1 failed, 1 skipped, but for: told below\n"), "{said:?}");
    let said = berth(batch("done", [("done", ""), ("done", "")]).path(), line);
    assert!(said.ended(0) && said.out.contains("s: 2 asked\n"), "{said:?}");
    let said = berth(batch("failed", [none, ("failed", "full")]).path(), line);
    assert!(said.ended(6), "what the first of them ended as: {said:?}");
    let said = berth(batch("skipped", [none, none]).path(), &format!("{line} -o json"));
    let document: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&document["done"], &document["outcome"]["members"][1]["name"]), (&json!(false), &json!("web2")));
}

#[test]
fn without_a_daemon_a_change_tells_how_to_start_one() {
    let state = tempfile::tempdir().unwrap();
    let said = berth(state.path(), "start web1");
    let start = format!("Start it:  berth --state {} daemon", state.path().display());
    assert!(said.ended(8) && said.err.contains(&start), "{said:?}");
    let said = berth(state.path(), "ps");
    assert!(said.ended(8), "nothing is recorded there either: {said:?}");
    let started = Started { key_dir: Some("/srv/my keys".into()), refuse_overcommit: true };
    started.keep(state.path()).unwrap();
    let said = berth(state.path(), "start web1");
    let start = format!("{start} --key-dir '/srv/my keys' --refuse-overcommit");
    assert!(said.err.contains(&start), "as it was started before: {said:?}");
}

#[test]
fn what_needs_a_confirmation_and_cannot_ask_is_refused() {
    let server = Server::new(|asked: &Asked| {
        if asked.line.contains("none") {
            return problem(404, "restore.not-found", "there is no restore \"none\"", "berth operation list");
        }
        if asked.header("berth-dry-run").is_some() {
            let facts = if asked.line.contains("done") { json!([]) } else { json!([{"kind": "K", "sentence": "s"}]) };
            return json(&json!({"dry_run": true, "events": facts, "expected": []}));
        }
        accepted(true, &json!([]))
    });
    for line in ["stop web1 web2", "container purge web1", "backup restore b7f3 --in-place", "backup confirm abcd"] {
        let said = berth(server.path(), line);
        assert!(said.ended(2) && said.err.contains("Add -y"), "{line}: {said:?}");
    }
    let tried = |asked: &Asked| asked.header("berth-dry-run").is_some();
    assert!(server.asked().iter().all(tried), "nothing was asked for");
    for line in
        ["container purge none", "backup restore none --in-place", "backup confirm none", "backup roll-back none"]
    {
        let said = berth(server.path(), line);
        assert!(said.ended(5) && !said.err.contains("Add -y"), "nobody is asked about what is not there: {said:?}");
    }
    assert!(berth(server.path(), "backup confirm done").ended(0), "nor about what is so already");
    assert!(berth(server.path(), "stop web1 web2 -y").ended(0));
}

#[test]
fn a_list_passes_through_what_it_does_not_know() {
    let server = Server::new(|_: &Asked| {
        json(
            &json!({"schema": "berth.container.list/v2", "as_of": {"position": 3, "time": null}, "items": [{"name": "a", "new": 1}]}),
        )
    });
    let said = berth(server.path(), "ps 'w*' --label a=b --label c=d --all --as-of 2h -o jsonl");
    assert!(said.ended(0) && said.out == "{\"name\":\"a\",\"new\":1}\n", "{said:?}");
    let line = "GET /v1/containers?name=w%2A&label=a%3Db%2Cc%3Dd&all=true&notes=true&as_of=2h HTTP/1.1";
    assert_eq!(server.asked()[0].line, line);
    let said = berth(server.path(), "ps");
    assert!(said.ended(1) && said.err.contains("of one version?"), "{said:?}");
}

#[test]
fn a_pattern_is_replaced_by_the_names_it_fits() {
    let server = Server::new(|asked: &Asked| match asked.line.as_str() {
        line if line.starts_with("GET") => json(&json!({"items": [{"name": "web1"}, {"name": "web2"}]})),
        _ => accepted(true, &json!([{"kind": "k", "sentence": "s"}])),
    });
    let said = berth(server.path(), "container resume 'web*' web1 -q");
    assert!(said.ended(0) && said.out == "web1: resumed\nweb2: resumed\n", "{said:?}");
}

#[test]
fn a_log_goes_out_unchanged_to_a_pipe() {
    let server = Server::new(|_: &Asked| (200, "text/plain", "a\u{1b}[2J\nb".to_owned()));
    let said = berth(server.path(), "logs web1 --tail 5");
    assert!(said.ended(0) && said.out == "a\u{1b}[2J\nb", "{said:?}");
    assert_eq!(server.asked()[0].line, "GET /v1/containers/web1/log?tail=5 HTTP/1.1");
}

#[test]
fn a_new_store_shows_its_recovery_key_and_how_to_confirm() {
    let server = Server::new(|asked: &Asked| match asked.line.as_str() {
        line if line.contains("recovery-key") => json(&json!({"store": "main", "key": "KEY", "fingerprint": "f00"})),
        _ => accepted(true, &json!([{"kind": "k", "sentence": "s"}])),
    });
    let said = berth(server.path(), "store create main /srv/backup");
    assert!(
        said.ended(0) && said.out.contains("  KEY\n") && said.out.contains("store confirm-recovery-key main"),
        "{said:?}"
    );
    assert_eq!(server.asked()[0].body, r#"{"name":"main","path":"/srv/backup"}"#);
}

#[test]
fn a_container_is_created_and_then_started() {
    let server = changing("done", None);
    let line = "container create web1 -t debian --memory 512M --cpus 1.5 --label a=b --ip auto --start -- /bin/app -x";
    let said = berth(server.path(), line);
    assert!(
        said.ended(0) && said.out.contains("web1: created in") && said.out.contains("web1: started in"),
        "{said:?}"
    );
    let body: Value = serde_json::from_str(&server.asked()[0].body).unwrap();
    assert_eq!((&body["memory"], &body["cpus"]), (&json!("512M"), &json!("1.5")));
    assert_eq!((&body["labels"], &body["command"]), (&json!({"a": "b"}), &json!(["/bin/app", "-x"])));
    assert_eq!(body.get("address"), None);
}

#[test]
fn doctor_looks_itself_when_no_daemon_does_and_findings_are_an_exit_code() {
    let state = tempfile::tempdir().unwrap();
    let said = berth(state.path(), "doctor");
    let expected = "✓ overlay: tried\n✗ loop: tried\n  fix: mend it\n– fuse (optional): tried\n  fix: mend it\n\
         ✗ disk: tried\n  fix: mend it\n\
         Containers cannot start here: 1 as they should be, 1 required and 1 optional missing, 1 damaged.\n";
    assert!(said.ended(10) && said.out == expected, "{said:?}");
    let said = berth(state.path(), "audit verify");
    assert!(said.ended(0) && said.out == "3 events, root ab: whole\n", "{said:?}");
    assert!(berth(state.path(), "daemon").ended(42));
}

#[test]
fn a_wait_that_is_too_long_leaves_the_work_to_the_daemon() {
    let server = Server::new(|asked: &Asked| {
        if asked.line.starts_with("POST") {
            return accepted(false, &json!([]));
        }
        (200, "text/event-stream", ": nothing yet\n\n".to_owned())
    });
    let said = berth(server.path(), "start web1 --timeout 200ms");
    assert!(said.ended(9) && said.err.contains("operation wait abcdefgh"), "{said:?}");
}

#[test]
fn a_number_that_is_none_is_named() {
    let nobody = tempfile::tempdir().unwrap();
    for (value, why) in [
        ("1e99", "cannot read \"1e99\" as a whole number"),
        ("99999999999999999999", "\"99999999999999999999\" is too large"),
    ] {
        let said = berth(nobody.path(), &format!("event list --limit {value}"));
        assert!(said.ended(2) && said.err.contains(&format!("--limit: {why}")), "{said:?}");
    }
}

#[test]
fn every_finding_and_the_machine_itself_have_a_name() {
    let nobody = tempfile::tempdir().unwrap();
    let said = berth(nobody.path(), "doctor --offline -o name");
    assert_eq!(said.out, "overlay\nloop\nfuse\ndisk\n", "{said:?}");
    assert_eq!(berth(nobody.path(), "doctor --offline -o jsonl").out.lines().count(), 4);
    assert!(berth(nobody.path(), "doctor --offline -o csv").out.starts_with("feature,"), "a line for each finding");
    assert_eq!(berth(nobody.path(), "audit verify -o name").out, "ab\n");
}

#[test]
fn bash_takes_the_name_of_a_backup_for_one_word() {
    let nobody = tempfile::tempdir().unwrap();
    let script = berth(nobody.path(), "completion bash").out;
    let shell = "complete() { :; }; eval \"$1\"; printf %s \"$COMP_WORDBREAKS\"";
    let ran = std::process::Command::new("bash").args(["-c", shell, "bash", &script]).output().unwrap();
    assert!(ran.status.success() && !ran.stdout.is_empty() && !ran.stdout.contains(&b'@'), "{ran:?}");
}

#[test]
fn without_a_daemon_a_state_that_cannot_be_read_says_why() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("log.db"), "no log at all, whatever it was".repeat(300)).unwrap();
    let said = berth(state.path(), "ps");
    assert!(said.ended(1) && said.err.contains("is damaged") && said.err.contains("audit verify"), "{said:?}");
    std::fs::write(state.path().join("format"), "berth-state 77\n").unwrap();
    let said = berth(state.path(), "ps");
    assert!(said.ended(1) && said.err.contains("has format 77"), "{said:?}");
}
