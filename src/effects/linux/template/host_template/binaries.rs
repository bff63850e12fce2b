//! A small system without a package database: some programs and the libraries they need.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::elf;

const PROGRAMS: &[&str] = &[
    "sh", "bash", "busybox", "cat", "cp", "mv", "rm", "mkdir", "rmdir", "ln", "ls", "chmod", "chown", "chgrp", "touch",
    "stat", "df", "du", "dd", "sync", "readlink", "realpath", "basename", "dirname", "head", "tail", "sort", "uniq",
    "wc", "cut", "tr", "tee", "env", "id", "whoami", "hostname", "uname", "date", "sleep", "kill", "true", "false",
    "echo", "printf", "test", "expr", "seq", "yes", "nproc", "ps", "top", "free", "mount", "umount", "grep", "sed",
    "awk", "find", "xargs", "tar", "gzip", "ip", "ping", "less", "vi", "su", "login", "getent",
];
const DIRECTORIES: &[&str] = &["usr/bin", "usr/sbin", "bin", "sbin"];
const LIBRARY_DIRECTORIES: &[&str] = &["lib64", "usr/lib64", "lib", "usr/lib"];
/// Libraries that the C library loads by itself, so that no program names them (nsswitch.conf(5)).
const LOADED_LATE: &[&str] = &["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1"];

/// Returns the programs that are there and every library they need, as absolute paths of the host.
pub(super) fn files(root: &Path) -> BTreeSet<PathBuf> {
    let directories = library_directories(root);
    let mut open: Vec<PathBuf> = PROGRAMS.iter().filter_map(|name| find(root, DIRECTORIES, name)).collect();
    open.extend(LOADED_LATE.iter().filter_map(|name| in_directories(root, &directories, name)));
    let mut found = BTreeSet::new();
    while let Some(path) = open.pop() {
        if !found.insert(path.clone()) {
            continue;
        }
        // A link on the way is needed too: libc.so.6 is found by that name.
        let target = fs::canonicalize(root.join(strip(&path))).ok();
        let inside = target.and_then(|target| Some(Path::new("/").join(target.strip_prefix(root).ok()?)));
        open.extend(inside);
        let Some(needs) = fs::read(root.join(strip(&path))).ok().and_then(|bytes| elf::needs(&bytes)) else { continue };
        open.extend(needs.interpreter.map(PathBuf::from).filter(|path| path.is_absolute()));
        let origin = path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        let own = needs.run_path.iter().map(|path| PathBuf::from(path.replace("$ORIGIN", &origin)));
        let places: Vec<PathBuf> = own.chain(directories.iter().cloned()).collect();
        open.extend(needs.libraries.iter().filter_map(|name| in_directories(root, &places, name)));
    }
    found
}

fn strip(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn find(root: &Path, directories: &[&str], name: &str) -> Option<PathBuf> {
    let paths = directories.iter().map(|directory| Path::new(directory).join(name));
    paths.into_iter().find(|path| root.join(path).is_file()).map(|path| Path::new("/").join(path))
}

fn in_directories(root: &Path, directories: &[PathBuf], name: &str) -> Option<PathBuf> {
    let paths = directories.iter().map(|directory| directory.join(name));
    paths.into_iter().find(|path| root.join(strip(path)).is_file())
}

/// The usual places, those that ld.so.conf names, and Debian's by architecture.
fn library_directories(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = LIBRARY_DIRECTORIES.iter().map(|path| Path::new("/").join(path)).collect();
    let configuration = fs::read_dir(root.join("etc/ld.so.conf.d")).into_iter().flatten().flatten();
    let files = configuration.map(|entry| entry.path()).chain([root.join("etc/ld.so.conf")]);
    for text in files.filter_map(|path| fs::read_to_string(path).ok()) {
        found.extend(text.lines().map(str::trim).filter(|line| line.starts_with('/')).map(PathBuf::from));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_and_the_c_library_are_found_without_running_anything() {
        let found = files(Path::new("/"));
        assert!(found.iter().any(|path| path.ends_with("sh")));
        assert!(found.iter().any(|path| path.to_string_lossy().contains("libc.")), "{found:?}");
    }
}
