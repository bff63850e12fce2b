//! A file system without room: filled from inside, from outside, and whatever the daemon does then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::check;
use crate::fixture::{Node, PATIENCE, run_within};
use crate::harness::{Outcome, Stop, need};

pub const TESTS: &[crate::harness::Test] = &[
    ("without space nothing is lost and what frees space still works", full),
    ("a container that made as many files as its disk takes starts again", files),
];

/// A small file system of its own; unmounted when dropped.
pub struct Small(pub std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A file system of its own on a loop device, which is as full as its blocks say.
pub fn small_ext4(node: &Node, size: &str) -> Result<Small, Stop> {
    // Not below the place: what is left there is looked for while it is still mounted.
    let name = node.place.file_name().unwrap_or_default().to_string_lossy();
    let (image, place) = (node.place.with_file_name(format!("disk-of-{name}")), node.state());
    fs::create_dir_all(&place)?;
    let make = |program: &str, arguments: &[&str], last: &Path| -> Outcome {
        let made = run_within(Command::new(program).args(arguments).arg(last), Duration::from_secs(20))?;
        check!(made.code == 0, "{made:?}");
        Ok(())
    };
    make("truncate", &["-s", size], &image)?;
    make("mkfs.ext4", &["-q"], &image)?;
    let options = image.display().to_string();
    make("mount", &["-o", "loop", &options], &place)?;
    let mounted = Small(place);
    fs::remove_file(&image)?; // its blocks are given back when it is mounted no more
    fs::set_permissions(&mounted.0, fs::Permissions::from_mode(0o700))?;
    Ok(mounted)
}

fn files() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let node = Node::begin("files")?;
    node.template()?;
    node.must(&["container", "create", "c1", "--template", "bb", "--disk", "32M", "--start"])?;
    let most = "mkdir /m && i=0 && while : >/m/$i; do i=$((i + 1)); done";
    let filled = node.berth(&["exec", "c1", "--", "sh", "-c", most])?;
    check!(filled.err.contains("No space left"), "{filled:?}");
    for _ in 0..2 {
        node.must(&["container", "restart", "c1"])?;
        let more = node.berth(&["exec", "c1", "--", "sh", "-c", "for i in 1 2 3 4; do : >/n$i; done"])?;
        check!(more.code != 0, "it took files of the reserve: {more:?}");
    }
    node.must(&["store", "create", "main", &node.place.join("store").to_string_lossy()])?;
    node.must(&["backup", "run", "c1"])?;
    node.must(&["backup", "restore", "c1@latest", "--to", "c2", "--start"])?;
    node.must(&["exec", "c1", "--", "rm", "-r", "/m"])?;
    node.finish()
}

fn full() -> Outcome {
    need(&["start-containers", "loop devices", "mkfs.ext4"])?;
    let mut node = Node::new("full")?;
    let mounted = small_ext4(&node, "900M")?;
    node.start()?;
    node.template()?;
    let create = node.must(&["container", "create", "c1", "--template", "bb", "--disk", "4G", "--start"])?;
    check!(create.err.contains("free, less than the 4 GiB"), "{create:?}");
    let create = node.must(&["container", "create", "c2", "--template", "bb", "--disk", "32M", "--start"])?;
    check!(create.err.contains("warning: c2: disks may still grow by 4"), "{create:?}");
    let disks = node.api().get("/v1/node")?.body["disks"].clone();
    check!(disks["to_come"].as_u64() > disks["free"].as_u64(), "{disks}");
    filled_from_inside(&node)?;
    filled_from_outside(&mut node)?;
    let finished = node.finish();
    drop(mounted);
    finished
}

/// One container writes more than there is: all stand still in time, and nobody loses anything.
fn filled_from_inside(node: &Node) -> Outcome {
    let writes = "while cat /bin/busybox >>/big; do :; done";
    let mut greedy = node.beside(&["exec", "c1", "--", "sh", "-c", writes]).spawn()?;
    let paused = |row: &Value| row["rest"] == "paused";
    for name in ["c1", "c2"] {
        let row = node.wait_for(name, paused)?;
        check!(row["reason"].as_str().is_some_and(|reason| reason.contains("stands still")), "{row:#}");
    }
    std::thread::sleep(Duration::from_secs(2)); // what was written already comes to the disk meanwhile
    let free = node.api().get("/v1/node")?.body["disks"]["free"].as_u64();
    check!(free.is_some_and(|free| free > 0), "it came too late: {free:?}");
    let history = node.must(&["container", "history", "c1"])?.out;
    check!(history.contains("are left on the host's file system"), "{history}");
    node.must(&["container", "stop", "c1", "--kill"])?;
    let _ = greedy.wait();
    node.must(&["container", "delete", "c1"])?;
    node.must(&["container", "purge", "c1", "-y"])?;
    node.wait_for("c2", |row| row["rest"] == "running")?;
    let alive = node.must(&["exec", "c2", "--", "sh", "-c", "echo alive >/x && sync && cat /x"])?;
    check!(alive.out == "alive\n", "{alive:?}");
    Ok(())
}

/// Others write until nothing is left, and again whenever something is: stop, delete and purge are recorded, also after
/// a daemon was killed and started without a free byte.
fn filled_from_outside(node: &mut Node) -> Outcome {
    let filler = node.state().join("filler");
    fill(&filler, u64::MAX)?;
    space_becomes(node, "critical")?;
    node.wait_for("c2", |row| row["rest"] == "paused")?;
    let create = ["container", "create", "c3", "--template", "bb", "--disk", "100M"];
    node.refused(&create, 7, "log.no-space")?;
    node.kill()?;
    fill(&filler, u64::MAX)?;
    node.start()?;
    fill(&filler, u64::MAX)?;
    node.must(&["container", "stop", "c2", "--kill"])?;
    node.must(&["container", "delete", "c2"])?;
    node.stop()?;
    fill(&filler, u64::MAX)?;
    node.start()?;
    check!(node.api().get("/v1/containers/c3")?.status == 404, "half made");
    node.must(&["container", "undelete", "c2"]).err().ok_or("begun at critical")?;
    node.must(&["container", "purge", "c2", "-y"])?;
    fs::remove_file(&filler)?;
    space_becomes(node, "warn")?;
    node.must(&["audit", "verify"])?;
    node.running("c3", &[])
}

/// Waits until the daemon has noticed how little space there is.
pub fn space_becomes(node: &Node, wanted: &str) -> Outcome {
    let begun = Instant::now();
    loop {
        let told = node.api().get("/v1/node")?.body;
        if told["space"] == wanted {
            return Ok(());
        }
        check!(begun.elapsed() < PATIENCE, "space does not become {wanted}: {told:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes so many bytes, or until nothing more fits.
pub fn fill(path: &Path, bytes: u64) -> Outcome {
    use std::io::Write as _;
    let mut file = fs::File::options().create(true).append(true).open(path)?;
    let block = vec![0x5a; 1 << 20];
    for _ in 0..bytes >> 20 {
        if file.write_all(&block).is_err() {
            break;
        }
    }
    Ok(())
}
