//! Ways out of a container: what becomes of its files on the host.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::check;
use crate::fixture::Node;
use crate::harness::{Outcome, Test, need};

pub const TESTS: &[Test] = &[("a restore into a directory brings nothing that the host would obey", restore)];

fn restore() -> Outcome {
    need(&["start-containers"])?;
    let node = Node::begin("outward")?;
    node.template()?;
    node.running("e1", &["--disk-kind", "directory"])?;
    let trap = "mkdir -p /srv/x && cp /bin/busybox /srv/x/sh && chmod 4755 /srv/x/sh && chmod 2777 /srv/x && \
                echo x >/srv/x/f && chown 1000:1000 /srv/x/f && chmod 600 /srv/x/f";
    node.must(&["exec", "e1", "--", "sh", "-c", trap])?;
    node.must(&["store", "create", "main", &node.place.join("store").to_string_lossy()])?;
    node.must(&["backup", "run", "e1"])?;

    let out = node.place.join("made/out");
    let into = out.to_string_lossy().into_owned();
    let told = node.must(&["backup", "restore", "e1@latest", "--path", "/srv/x", "--into", &into])?;
    check!(told.out.contains("Left out: set-uid or set-gid: 2."), "{told:?}");
    let mode = |path: &std::path::Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o7777);
    check!(mode(&out)? == 0o700 && mode(&node.place.join("made"))? == 0o700, "what is made on the way is private");
    check!(
        mode(&out.join("srv/x/sh"))? == 0o755 && mode(&out.join("srv/x"))? == 0o777,
        "set-uid or set-gid went along"
    );
    let file = fs::metadata(out.join("srv/x/f"))?;
    check!((file.uid(), file.gid(), file.mode() & 0o7777) == (0, 0, 0o600), "it belongs to {}", file.uid());

    let again = ["-o", "json", "backup", "restore", "e1@latest", "--path", "/srv/x", "--into"];
    let json = node.must(&[&again[..], &[&into]].concat())?.json()?;
    check!(json["result"]["left_out"]["set_ids"] == 2, "{json:#}");
    let events = node.api().items("/v1/events?limit=1000")?;
    let told = events.iter().filter(|event| event["kind"] == "FilesRestored");
    check!(
        told.clone().count() == 2 && told.clone().all(|event| event["sentence"].to_string().contains("set-gid: 2")),
        "{events:#?}"
    );

    let kept = node.place.join("kept");
    let words = ["backup", "restore", "e1@latest", "--path", "/srv/x", "--keep-privileges", "--into"];
    node.must(&[&words[..], &[&kept.to_string_lossy()]].concat())?;
    let file = fs::metadata(kept.join("srv/x/f"))?;
    check!(mode(&kept.join("srv/x/sh"))? == 0o4755 && file.uid() == 1000, "it was asked to go along");
    node.refused(&["backup", "restore", "e1@latest", "--to", "e2", "--keep-owners"], 2, "usage.conflict")?;
    node.finish()
}
