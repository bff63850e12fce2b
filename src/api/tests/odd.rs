//! Every route, asked with what makes no sense: the answer is a problem with a code, and never the server's own fault.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::daemon::{Daemon, send_bytes};
use super::run;

/// What stands in the place of a name in a path, or of a value in a query.
const VALUES: [&str; 5] = ["-1", "abc", "18446744073709551615", "99999999999999999999", "%FF%00"];
const QUERIED: [&str; 5] = ["-1", "abc", "", "18446744073709551615", "%FF%00"];
/// The names of what routes read from a query.
const NAMES: [&str; 20] = [
    "after",
    "limit",
    "as_of",
    "stream",
    "container",
    "operation",
    "kind",
    "who",
    "since",
    "until",
    "count",
    "tail",
    "boot",
    "follow",
    "all",
    "open",
    "label",
    "state",
    "path",
    "below",
];
const BODIES: [&str; 6] = ["[", "[]", "null", "\"x\"", "{\"no-such-field\":1}", "\u{fffd}"];

/// Reads the routes out of the files that add them: one that is new is walked too.
fn routes() -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    read_routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api"), &mut found);
    assert!(found.len() > 50, "{found:?}");
    found
}

fn read_routes(folder: &Path, found: &mut BTreeSet<(&'static str, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "tests") {
        if entry.file_type().unwrap().is_dir() {
            read_routes(&entry.path(), found);
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        for route in text.split(".route(\"").skip(1) {
            let (path, rest) = route.split_once('"').unwrap();
            let method = if rest.starts_with(", web::get()") { "GET" } else { "POST" };
            found.insert((method, format!("/v1{path}")));
        }
        for resource in text.split("web::resource(\"").skip(1) {
            let (path, _) = resource.split_once('"').unwrap();
            found.extend(["GET", "POST"].map(|method| (method, format!("/v1{path}"))));
        }
    }
}

/// Asks and reads the answer's head, and its body unless all is well: what is followed has no end.
async fn ask(daemon: &Daemon, request: &[u8]) -> (u16, String, Value) {
    let asked = async {
        let mut stream: UnixStream = send_bytes(daemon, request).await;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let head = answer.windows(4).any(|end| end == b"\r\n\r\n");
            let well = answer.starts_with(b"HTTP/1.1 2");
            let count = if head && well { 0 } else { stream.read(&mut piece).await.unwrap_or(0) };
            if count == 0 {
                break String::from_utf8_lossy(&answer).into_owned();
            }
            answer.extend(&piece[..count]);
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Asks, and fails unless what is refused is a problem with a code.
async fn refusal(daemon: &Daemon, method: &str, target: &str, headers: &str, body: &str) -> Option<(u16, Value)> {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: berth\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let (status, head, problem) = ask(daemon, request.as_bytes()).await;
    let told = format!("{method} {target} {headers:?} {body:.60}: {head} {problem}");
    if (200..300).contains(&status) {
        return None;
    }
    assert!((400..500).contains(&status) || [501, 507].contains(&status), "{told}");
    assert!(head.contains("content-type: application/problem+json"), "{told}");
    assert_eq!(problem["status"], json!(status), "{told}");
    let code = problem["code"].as_str().unwrap_or_default();
    assert!(code != "internal" && code.contains('.'), "{told}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{told}");
    Some((status, problem["code"].clone()))
}

#[test]
fn no_route_is_at_a_loss_for_odd_values() {
    run(async |daemon| {
        daemon.with_container().await;
        for (method, path) in routes() {
            for value in VALUES {
                let odd: Vec<&str> =
                    path.split('/').map(|part| if part.starts_with('{') { value } else { part }).collect();
                refusal(daemon, method, &odd.join("/"), "Berth-Dry-Run: true\r\n", "").await;
            }
            let deleted = refusal(daemon, "DELETE", &path.replace(['{', '}'], ""), "", "").await;
            assert_eq!(deleted, Some((404, json!("route.not-found"))));
            let plain = path.replace("{position}", "1").replace("{reference}", "web").replace("{session}", "x");
            if method == "POST" {
                for body in BODIES {
                    refusal(daemon, method, &plain, "Berth-Dry-Run: true\r\n", body).await;
                }
                continue;
            }
            for name in NAMES {
                for value in QUERIED {
                    refusal(daemon, method, &format!("{plain}?{name}={value}"), "", "").await;
                }
            }
        }
    });
}

#[test]
fn what_cannot_be_read_is_refused_and_not_left_out() {
    run(async |daemon| {
        daemon.with_container().await;
        let large = "x".repeat((1 << 20) + 1);
        let start = "/v1/containers/web/start";
        for (method, target, headers, body, status, code) in [
            ("GET", "/v1/events?after=-1", "", "", 400, "request.query"),
            ("GET", "/v1/events?limit=0", "", "", 400, "request.query"),
            ("GET", "/v1/events/abc", "", "", 400, "position.invalid"),
            ("POST", "/v1/events/abc/redact", "", "", 400, "position.invalid"),
            // The past was asked for: the present is no answer.
            ("GET", "/v1/containers?as_of=1&as_of=2", "", "", 400, "request.query"),
            ("GET", "/v1/events/follow", "Last-Event-ID: x\r\n", "", 400, "position.invalid"),
            ("PUT", "/v1/containers/web/sessions", "", "", 404, "route.not-found"),
            ("GET", "/nothing", "", "", 404, "route.not-found"),
            ("POST", "/v1/containers", "Content-Type: text/plain\r\n", "name=x", 400, "request.body"),
            ("POST", "/v1/containers", "", large.as_str(), 507, "request.too-long"),
            // Only tried, or done: one must be certain of it.
            ("POST", start, "Berth-Dry-Run: 1\r\n", "", 400, "request.dry-run"),
            ("POST", start, "Idempotency-Key: \u{e9}\r\n", "", 400, "idempotency.key-invalid"),
        ] {
            let refused = refusal(daemon, method, target, headers, body).await;
            assert_eq!(refused, Some((status, json!(code))), "{method} {target} {headers}");
        }
        let (_, problem) = daemon.get("/v1/events/abc").await;
        assert_eq!(problem["detail"], "\"abc\" is no position in the log");
        assert_eq!(daemon.get("/v1/containers/web").await.1["state"], "stopped", "nothing of it was done");
    });
}

#[test]
fn beyond_the_end_of_the_log_there_is_nothing() {
    run(async |daemon| {
        daemon.with_container().await;
        for after in [1 << 40, i64::MAX as u64, 1 << 63, u64::MAX] {
            let (status, list) = daemon.get(&format!("/v1/events?after={after}")).await;
            assert_eq!((status, &list["items"]), (200, &json!([])), "{after}");
            assert_eq!(daemon.get(&format!("/v1/events/{after}")).await.1["code"], "event.not-found", "{after}");
            let page = daemon.query.reader().read_all(crate::types::Position::new(after), 10).unwrap();
            assert!(page.is_empty(), "{after}: {page:?}");
        }
    });
}
