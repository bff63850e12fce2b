//! Templates from directories: everything survives, drift is named, nothing is left of what failed.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::sys::fs::xattr;
use crate::sys::fs::{Access, FileKind, make_node, open_beneath, set_owner};

struct Fixture {
    place: tempfile::TempDir,
    paths: StatePaths,
    id: TemplateId,
}

fn fixture() -> Option<Fixture> {
    if !crate::sys::capability::effective().is_ok_and(|held| held & 1 != 0) {
        println!("skipped: making templates needs root");
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    let paths = StatePaths::with_runtime(place.path().join("state"), place.path().join("run"));
    paths.ensure(None).unwrap();
    build(&place.path().join("source"));
    Some(Fixture { paths, id: TemplateId::from_bytes([3; 16]), place })
}

fn build(source: &Path) {
    fs::create_dir_all(source.join("usr/lib/systemd")).unwrap();
    fs::create_dir_all(source.join("usr/sbin")).unwrap();
    fs::create_dir_all(source.join("private")).unwrap();
    fs::write(source.join("usr/lib/systemd/systemd"), b"elf").unwrap();
    fs::set_permissions(source.join("usr/lib/systemd/systemd"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("/usr/lib/systemd/systemd", source.join("usr/sbin/init")).unwrap();
    fs::write(source.join("usr/lib/os-release"), "PRETTY_NAME=\"Test OS\"\n").unwrap();
    fs::hard_link(source.join("usr/lib/os-release"), source.join("linked")).unwrap();
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    let root = open_root(source).unwrap();
    let place = |name: &[u8]| open_beneath(root.as_fd(), name, Access::Place).unwrap();
    set_owner(place(b"sparse").as_fd(), 60_000, 60_001).unwrap();
    xattr::set(place(b"linked").as_fd(), b"user.colour", b"blue\n\xff").unwrap();
    make_node(root.as_fd(), b"null", FileKind::CharDevice, 0o666, (1, 3)).unwrap();
    make_node(root.as_fd(), b"pipe", FileKind::Fifo, 0o600, (0, 0)).unwrap();
    make_node(root.as_fd(), b"socket", FileKind::Socket, 0o600, (0, 0)).unwrap();
    fs::write(source.join(std::ffi::OsString::from_vec_bytes(b"odd-\xff\nname")), b"x").unwrap();
    fs::set_permissions(source.join("private"), fs::Permissions::from_mode(0o500)).unwrap();
}

trait FromBytes {
    fn from_vec_bytes(bytes: &[u8]) -> Self;
}

impl FromBytes for std::ffi::OsString {
    fn from_vec_bytes(bytes: &[u8]) -> Self {
        std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
    }
}

fn digest_of(root: &Path) -> String {
    let found = crate::repository::catalogue::tree_digest(
        open_root(root).unwrap().as_fd(),
        crate::repository::IdMap::IDENTITY,
        &|| false,
    );
    blake3::Hash::from_bytes(found.unwrap()).to_hex().to_string()
}

impl Fixture {
    fn source(&self) -> TemplateSource {
        TemplateSource::Directory { path: self.place.path().join("source").to_string_lossy().into_owned() }
    }

    fn ensure(&self) -> Result<TemplateSummary, Failure> {
        ensure_template(&self.paths, self.id, &self.source(), &Watch::NONE)
    }
}

#[test]
fn a_directory_becomes_a_template_with_the_same_digest() {
    let Some(fixture) = fixture() else { return };
    let summary = fixture.ensure().unwrap();
    assert_eq!(summary.digest, digest_of(&fixture.place.path().join("source")));
    assert_eq!(summary.digest, digest_of(&fixture.paths.template_root(fixture.id)));
    assert_eq!((summary.init, summary.system.as_deref()), (Some(crate::events::InitKind::Systemd), Some("Test OS")));
    let sparse = fs::metadata(fixture.paths.template_root(fixture.id).join("sparse")).unwrap();
    assert!(sparse.blocks() < 128 && sparse.uid() == 60_000, "the hole stays a hole, the owner the owner");
    assert_eq!(fixture.ensure().unwrap(), summary, "repeated, it is the same");
    let verdict = verify_template(&fixture.paths, fixture.id, &summary.digest, &Watch::NONE).unwrap();
    assert_eq!(verdict, Verdict::Intact);
}

#[test]
fn what_belongs_to_an_id_that_no_container_has_is_refused_with_the_first_of_it() {
    let Some(fixture) = fixture() else { return };
    let root = open_root(&fixture.place.path().join("source")).unwrap();
    let place = |name: &[u8]| open_beneath(root.as_fd(), name, Access::Place).unwrap();
    let refused = || {
        let refused = fixture.ensure().unwrap_err();
        assert!(!fixture.paths.template_root(fixture.id).exists());
        assert_eq!(refused.class, Some(crate::domain::RefusalClass::Invalid));
        refused.reason
    };
    fixture.ensure().unwrap();
    ensure_template_gone(&fixture.paths, fixture.id).unwrap();
    set_owner(place(b"sparse").as_fd(), 65_536, 0).unwrap();
    assert!(
        refused().starts_with("1 entry belongs to an id that no container has (0 to 65535 are there)"),
        "{}",
        refused()
    );
    assert!(refused().contains("the first is /sparse, of 65536"), "{}", refused());
    set_owner(place(b"null").as_fd(), 0, 200_000).unwrap();
    assert!(refused().starts_with("2 entries belong") && refused().contains("/null, of 200000"), "{}", refused());
    set_owner(place(b"sparse").as_fd(), 65_535, 65_535).unwrap();
    set_owner(place(b"null").as_fd(), 0, 0).unwrap();
    fixture.ensure().unwrap();
    ensure_template_gone(&fixture.paths, fixture.id).unwrap();
    let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &7_u16.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    let parts =
        [(0x01, none), (0x02, 300_000), (0x04, none), (0x10, none), (0x20, none)].map(|(tag, id)| entry(tag, id));
    let list = [2_u32.to_le_bytes().to_vec(), parts.concat()].concat();
    if xattr::set(place(b"linked").as_fd(), b"system.posix_acl_access", &list).is_ok() {
        assert!(refused().contains("in an access list") && refused().contains(", of 300000"), "{}", refused());
    }
}

#[test]
fn drift_is_named_path_by_path() {
    let Some(fixture) = fixture() else { return };
    let summary = fixture.ensure().unwrap();
    let root = fixture.paths.template_root(fixture.id);
    fs::remove_file(root.join("pipe")).unwrap();
    fs::write(root.join("added"), b"x").unwrap();
    fs::set_permissions(root.join("usr/lib/systemd/systemd"), fs::Permissions::from_mode(0o755)).unwrap();
    let verdict = verify_template(&fixture.paths, fixture.id, &summary.digest, &Watch::NONE).unwrap();
    let Verdict::Drift { paths, count } = verdict else { panic!("no drift seen") };
    // The root's own time changed too.
    assert_eq!(paths, ["/", "/added", "/pipe", "/usr/lib/systemd/systemd"]);
    assert_eq!(count, 4);
    let wrong = verify_template(&fixture.paths, fixture.id, &"0".repeat(64), &Watch::NONE);
    assert!(wrong.unwrap_err().reason.contains("not the one that was sealed"));
}

#[test]
fn what_no_two_machines_may_share_is_taken_out_and_named() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.place.path().join("source");
    let plain = fixture.ensure().unwrap();
    assert_eq!(plain.taken_out_words(), None);
    ensure_template_gone(&fixture.paths, fixture.id).unwrap();
    fs::create_dir_all(source.join("etc/ssh")).unwrap();
    for number in 0..30 {
        fs::write(source.join(format!("etc/ssh/ssh_host_{number:02}_key")), "secret").unwrap();
    }
    fs::write(source.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let summary = fixture.ensure().unwrap();
    assert_eq!(summary.taken_out_words().as_deref(), Some("SSH host keys (30), the machine id"));
    let keys = &summary.taken_out["SSH host keys"];
    assert_eq!((keys.count, keys.paths.len(), keys.paths[0].as_str()), (30, 20, "/etc/ssh/ssh_host_00_key"));
    let root = fixture.paths.template_root(fixture.id);
    assert_eq!(summary.digest, digest_of(&root), "it is sealed as it is");
    assert_eq!(fs::read_dir(root.join("etc/ssh")).unwrap().count(), 0);
    assert_eq!(fs::read(root.join("etc/machine-id")).unwrap(), b"");
    assert_eq!(fs::read(source.join("etc/ssh/ssh_host_00_key")).unwrap(), b"secret", "the source stays as it is");
    ensure_template_gone(&fixture.paths, fixture.id).unwrap();
    assert_eq!(fixture.ensure().unwrap(), summary, "the same source gives the same digest");
}

#[test]
fn nothing_is_left_of_a_template_that_failed_was_called_off_or_is_gone() {
    let Some(fixture) = fixture() else { return };
    let missing = TemplateSource::Directory { path: "/does/not/exist".to_owned() };
    let error = ensure_template(&fixture.paths, fixture.id, &missing, &Watch::NONE).unwrap_err();
    assert!(error.reason.contains("/does/not/exist"), "{error}");
    let own = TemplateSource::Directory { path: fixture.place.path().to_string_lossy().into_owned() };
    assert!(ensure_template(&fixture.paths, fixture.id, &own, &Watch::NONE).unwrap_err().reason.contains("own state"));
    let empty = fixture.place.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(fixture.place.path().join("empty.tar"), [0; 1024]).unwrap(); // two blocks of zeros: its end, and nothing before
    let place = |name: &str| fixture.place.path().join(name).to_string_lossy().into_owned();
    for source in
        [TemplateSource::Directory { path: place("empty") }, TemplateSource::Archive { path: place("empty.tar") }]
    {
        let error = ensure_template(&fixture.paths, fixture.id, &source, &Watch::NONE).unwrap_err();
        assert!(error.reason.contains("there is nothing in it"), "{error}");
    }
    let called_off = Watch { cancelled: &|| true, progress: &|_| {} };
    let error = ensure_template(&fixture.paths, fixture.id, &fixture.source(), &called_off).unwrap_err();
    assert_eq!(error.kind, crate::domain::effect::FailureKind::Cancelled);
    fixture.ensure().unwrap();
    ensure_template_gone(&fixture.paths, fixture.id).unwrap();
    ensure_template_gone(&fixture.paths, fixture.id).unwrap();
    assert_eq!(fs::read_dir(fixture.paths.templates()).unwrap().count(), 0);
}

#[test]
fn of_an_image_of_incus_the_tree_alone_is_taken() {
    let Some(Fixture { place, paths, id }) = fixture() else { return };
    let image = place.path().join("image");
    fs::create_dir_all(image.join("templates")).unwrap();
    fs::write(image.join("metadata.yaml"), "architecture: x86_64\n").unwrap();
    fs::rename(place.path().join("source"), image.join("rootfs")).unwrap();
    let plain = digest_of(&image.join("rootfs"));
    let source = TemplateSource::Directory { path: image.display().to_string() };
    let summary = ensure_template(&paths, id, &source, &Watch::NONE).unwrap();
    assert_eq!((summary.digest, summary.init), (plain, Some(crate::events::InitKind::Systemd)));
    assert_eq!(fs::read_dir(paths.template(id)).unwrap().count(), 3, "root, catalogue and summary");

    fs::write(image.join("notes"), "mine").unwrap();
    let other = TemplateId::from_bytes([4; 16]);
    let summary = ensure_template(&paths, other, &source, &Watch::NONE).unwrap();
    assert_eq!(summary.init, None, "what has more in it is no image, and taken as it is");
}
