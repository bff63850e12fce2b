//! Nothing that two machines must not share stays in a tree, and a system that needs it gets its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use crate::sys::fs::open_root;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    place
}

fn stripped(place: &Path) -> Vec<String> {
    let Stripped { taken, left } = strip(open_root(place).unwrap().as_fd());
    assert!(left.is_empty(), "{left:?}");
    taken.iter().map(|taken| shown(&taken.path)).collect()
}

fn renewed(place: &Path) -> Renewed {
    renew(open_root(place).unwrap().as_fd())
}

fn id_of(place: &Path) -> String {
    fs::read_to_string(place.join(MACHINE_ID)).unwrap()
}

const ID: &str = "0123456789abcdef0123456789abcdef\n";

#[test]
fn everything_of_the_table_is_taken_out_and_nothing_else() {
    let samples = KINDS.iter().flat_map(|kind| kind.places).map(|place| place.replace('*', "x"));
    let samples: Vec<String> = samples.collect();
    let mut files: Vec<(&str, &str)> = samples.iter().map(|path| (path.as_str(), "of one machine\n")).collect();
    let others = ["etc/ssh/sshd_config", "etc/ssh/moduli", "etc/ssl/certs/ca.pem", "var/lib/NetworkManager/state"];
    files.extend(others.map(|path| (path, "shared\n")));
    let place = tree(&files);
    assert_eq!(stripped(place.path()).len(), samples.len());
    for sample in &samples {
        let text = fs::read_to_string(place.path().join(sample)).unwrap_or_default();
        assert!(!text.contains("of one machine"), "{sample}");
    }
    assert!(others.iter().all(|path| place.path().join(path).exists()));
    assert_eq!(stripped(place.path()), [""; 0], "the second time there is nothing to take");
}

#[test]
fn the_machine_id_stays_as_an_empty_file_and_what_asks_for_one_stays_as_it_is() {
    let place = tree(&[(MACHINE_ID, ID)]);
    assert_eq!(stripped(place.path()), [MACHINE_ID]);
    assert_eq!(id_of(place.path()), "", "a missing one would make the first boot apply all presets");
    for text in ["", "uninitialized\n", "uninitialized"] {
        let place = tree(&[(MACHINE_ID, text)]);
        assert_eq!((stripped(place.path()), id_of(place.path())), (vec![], text.to_owned()));
    }
    let place = tree(&[("etc/hostname", "x")]);
    assert!(stripped(place.path()).is_empty() && !place.path().join(MACHINE_ID).exists());
}

#[test]
fn a_link_to_the_machine_id_is_no_second_one() {
    let place = tree(&[(MACHINE_ID, ID), ("var/lib/dbus/x", "")]);
    symlink("/etc/machine-id", place.path().join("var/lib/dbus/machine-id")).unwrap();
    assert_eq!(stripped(place.path()), [MACHINE_ID]);
    assert!(place.path().join("var/lib/dbus/machine-id").is_symlink());
}

#[test]
fn links_are_followed_inside_of_the_tree_and_never_out_of_it() {
    let outside = tree(&[("ssh/ssh_host_rsa_key", "the host's")]);
    let place = tree(&[("data/keys/ssh_host_rsa_key", "another machine's"), ("etc/x", "")]);
    symlink("../data/keys", place.path().join("etc/ssh")).unwrap();
    symlink(outside.path().join("ssh/ssh_host_rsa_key"), place.path().join("data/keys/ssh_host_dsa_key")).unwrap();
    symlink(outside.path(), place.path().join("var")).unwrap();
    assert_eq!(stripped(place.path()), ["data/keys/ssh_host_rsa_key"]);
    assert_eq!(fs::read_to_string(outside.path().join("ssh/ssh_host_rsa_key")).unwrap(), "the host's");
}

#[test]
fn a_file_with_another_name_elsewhere_keeps_its_content_there() {
    let place = tree(&[(MACHINE_ID, ID)]);
    fs::hard_link(place.path().join(MACHINE_ID), place.path().join("elsewhere")).unwrap();
    stripped(place.path());
    assert_eq!(fs::read_to_string(place.path().join("elsewhere")).unwrap(), ID);
}

#[test]
fn the_same_source_gives_the_same_tree() {
    let place = tree(&[(MACHINE_ID, ID), ("etc/ssh/ssh_host_rsa_key", "x")]);
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    for path in ["etc/ssh", "etc", MACHINE_ID] {
        fs::File::open(place.path().join(path)).unwrap().set_modified(then).unwrap();
    }
    fs::set_permissions(place.path().join(MACHINE_ID), fs::Permissions::from_mode(0o444)).unwrap();
    stripped(place.path());
    for path in ["etc/ssh", "etc", MACHINE_ID] {
        assert_eq!(fs::metadata(place.path().join(path)).unwrap().mtime(), 1_000_000, "{path}");
    }
    assert_eq!(fs::metadata(place.path().join(MACHINE_ID)).unwrap().mode() & 0o7777, 0o444);
}

#[test]
fn a_system_that_never_ran_gets_an_id_of_its_own() {
    let places = [ID, ""].map(|text| tree(&[(MACHINE_ID, text)]));
    let ids = places.each_ref().map(|place| {
        assert!(renewed(place.path()).changed);
        id_of(place.path())
    });
    for id in &ids {
        assert!(id.len() == 33 && id.ends_with('\n') && id.trim().chars().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(&id[12..13], "4", "version 4, as systemd draws them");
    }
    assert!(ids[0] != ID && ids[0] != ids[1]);
    let place = tree(&[(MACHINE_ID, "uninitialized\n")]);
    assert!(!renewed(place.path()).changed, "an image that wants a first boot gets it");
    let place = tree(&[("etc/hostname", "x")]);
    assert!(!renewed(place.path()).changed && !place.path().join(MACHINE_ID).exists(), "nobody there wants one");
}

#[test]
fn programs_are_asked_for_keys_where_a_server_has_none() {
    let makers = |files: &[&str]| {
        let place = tree(&files.iter().map(|path| (*path, "")).collect::<Vec<_>>());
        for path in files.iter().filter(|path| path.contains("bin/")) {
            fs::set_permissions(place.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
        }
        renewed(place.path()).makers.iter().map(|argv| argv.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(makers(&["usr/sbin/sshd", "usr/bin/ssh-keygen"]), ["/usr/bin/ssh-keygen -A"]);
    assert_eq!(makers(&["usr/bin/ssh-keygen"]), [""; 0], "there is no server");
    assert_eq!(makers(&["usr/sbin/sshd"]), [""; 0], "there is nothing to make them with");
    let foreign = ["usr/sbin/sshd", "usr/bin/ssh-keygen", "etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub"];
    assert_eq!(makers(&foreign), ["/usr/bin/ssh-keygen -A"], "those of another machine are none");
    assert_eq!(makers(&["usr/sbin/make-ssl-cert"]), ["/usr/sbin/make-ssl-cert generate-default-snakeoil"]);
}

#[test]
fn the_manual_has_the_same_table() {
    let manual = include_str!("../../../docs/operating.md");
    for kind in KINDS {
        let row = manual.lines().find(|line| line.starts_with(&format!("| {} |", kind.name)));
        let row = row.unwrap_or_else(|| panic!("no row for {}", kind.name));
        assert!(kind.places.iter().all(|place| row.contains(&format!("`{place}`"))), "{row}");
    }
}
