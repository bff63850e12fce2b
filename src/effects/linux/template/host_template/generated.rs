//! The `/etc` of a template made from the host: generated, never copied, so that no account, key or setting of the host's
//! owner comes along.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::domain::effect::Failure;
use crate::effects::linux::template::writer::{Attributes, TreeWriter};

/// Accounts that packages make when they are installed, beside those that the base system has.
const PACKAGE_ACCOUNTS: &[&str] =
    &["_apt", "messagebus", "polkitd", "sshd", "crontab", "input", "sgx", "kvm", "render", "netdev"];
/// Accounts of every Linux system, for hosts that do not say themselves (LSB 5.0, 23.2).
const BASE_PASSWD: &str = "root:*:0:0:root:/root:/bin/sh\ndaemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
    bin:*:2:2:bin:/bin:/usr/sbin/nologin\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const BASE_GROUP: &str = "root:*:0:\ndaemon:*:1:\nbin:*:2:\nadm:*:4:\ntty:*:5:\ndisk:*:6:\nmail:*:8:\nutmp:*:43:\n\
    users:*:100:\nnogroup:*:65534:\n";
const NSSWITCH: &str = "passwd:         files\ngroup:          files\nshadow:         files\ngshadow:        files\n\
    hosts:          files dns\nnetworks:       files\nprotocols:      files\nservices:       files\n";
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
const PROFILE: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n\
    for file in /etc/profile.d/*.sh; do [ -r \"$file\" ] && . \"$file\"; done\nunset file\n";
/// What pam-auth-update(8) writes where only local accounts exist.
const PAM: &[(&str, &str)] = &[
    ("auth", "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n"),
    (
        "account",
        "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\naccount requisite pam_deny.so\n\
         account required pam_permit.so\n",
    ),
    (
        "password",
        "password [success=1 default=ignore] pam_unix.so obscure yescrypt\npassword requisite pam_deny.so\n\
         password required pam_permit.so\n",
    ),
    (
        "session",
        "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so\nsession required pam_unix.so\n",
    ),
    (
        "session-noninteractive",
        "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so\nsession required pam_unix.so\n",
    ),
];

/// Writes the files that every system needs and no package ships.
pub(super) fn write(host: &Path, writer: &mut TreeWriter) -> Result<(), Failure> {
    let passwd = accounts(host, "passwd", BASE_PASSWD);
    let group = accounts(host, "group", BASE_GROUP);
    let shell = if host.join("bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let passwd: String = passwd.iter().map(|line| passwd_line(line, shell)).collect();
    let names =
        |text: &str| text.lines().filter_map(|line| line.split(':').next().map(str::to_owned)).collect::<Vec<_>>();
    let group: String = group.iter().map(|line| group_line(line)).collect();
    let lines = |names: Vec<String>, rest: &str| names.iter().flat_map(|name| [name, rest]).collect::<String>();
    let shadow = lines(names(&passwd), ":*:19000:0:99999:7:::\n");
    let gshadow = lines(names(&group), ":*::\n");
    let shadow_group = group.lines().find_map(|line| line.strip_prefix("shadow:x:")?.split(':').next()?.parse().ok());
    let mut put = |path: &str, text: &str, mode: u32, gid: u32| {
        let attributes = Attributes { gid, ..Attributes::of_root(mode) };
        writer.file_of(path.as_bytes(), text.as_bytes(), &attributes)
    };
    for (path, text) in [
        ("etc/passwd", passwd.as_str()),
        ("etc/group", &group),
        ("etc/hostname", "localhost\n"),
        ("etc/hosts", HOSTS),
        ("etc/nsswitch.conf", NSSWITCH),
        ("etc/fstab", "# A container's file systems are mounted from outside.\n"),
        ("etc/machine-id", ""),
        ("etc/resolv.conf", ""),
        ("etc/profile", PROFILE),
        ("etc/shells", "/bin/sh\n/bin/bash\n"),
        ("etc/environment", ""),
    ] {
        put(path, text, 0o644, 0)?;
    }
    put("etc/shadow", &shadow, 0o640, shadow_group.unwrap_or(0))?;
    put("etc/gshadow", &gshadow, 0o640, shadow_group.unwrap_or(0))?;
    for (name, text) in PAM {
        put(&format!("etc/pam.d/common-{name}"), text, 0o644, 0)?;
    }
    if let Some(sources) = apt_sources(host) {
        put("etc/apt/sources.list", &sources, 0o644, 0)?;
    }
    Ok(())
}

/// The lines of the base system, and the host's lines for accounts of packages; people's accounts never.
fn accounts(host: &Path, file: &str, base: &str) -> Vec<String> {
    let master = fs::read_to_string(host.join(format!("usr/share/base-passwd/{file}.master")));
    let mut lines: Vec<String> = master.unwrap_or_else(|_| base.to_owned()).lines().map(str::to_owned).collect();
    let known: BTreeSet<String> = lines.iter().filter_map(|line| line.split(':').next().map(str::to_owned)).collect();
    let of_host = fs::read_to_string(host.join("etc").join(file)).unwrap_or_default();
    let of_packages = of_host.lines().filter(|line| {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        let id: u32 = fields.nth(1).and_then(|id| id.parse().ok()).unwrap_or(u32::MAX);
        id < 1000 && !known.contains(name) && (name.starts_with("systemd-") || PACKAGE_ACCOUNTS.contains(&name))
    });
    lines.extend(of_packages.map(str::to_owned));
    lines.retain(|line| line.split(':').count() >= 4);
    lines
}

fn passwd_line(line: &str, root_shell: &str) -> String {
    let mut fields: Vec<&str> = line.split(':').collect();
    fields[1] = "x";
    if fields[0] == "root" && fields.len() == 7 {
        fields[6] = root_shell;
    }
    fields.join(":") + "\n"
}

/// Without members: who belongs to a group is the host's business.
fn group_line(line: &str) -> String {
    let fields: Vec<&str> = line.split(':').collect();
    format!("{}:x:{}:\n", fields[0], fields[2])
}

/// The distribution's public archives; the host's own list may hold passwords and private mirrors.
fn apt_sources(host: &Path) -> Option<String> {
    let release = fs::read_to_string(host.join("usr/lib/os-release")).ok()?;
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    let (id, codename) = (value("ID")?, value("VERSION_CODENAME")?);
    let simple = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
    match id.as_str() {
        _ if !simple(&codename) => None,
        "debian" => Some(format!(
            "deb http://deb.debian.org/debian {codename} main\ndeb http://deb.debian.org/debian {codename}-updates main\n\
             deb http://security.debian.org/debian-security {codename}-security main\n"
        )),
        "ubuntu" => Some(format!(
            "deb http://archive.ubuntu.com/ubuntu {codename} main universe\n\
             deb http://archive.ubuntu.com/ubuntu {codename}-updates main universe\n\
             deb http://security.ubuntu.com/ubuntu {codename}-security main universe\n"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_s_accounts_and_passwords_never_come_along() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("etc")).unwrap();
        let passwd =
            "root:hash:0:0:r:/root:/bin/zsh\nalice:hash:1000:1000::/home/alice:/bin/sh\n_apt:hash:42:65534::/x:/y\n";
        fs::write(place.path().join("etc/passwd"), passwd).unwrap();
        fs::write(place.path().join("etc/group"), "sudo:x:27:alice\nmessagebus:x:101:alice\n").unwrap();
        let passwd = accounts(place.path(), "passwd", BASE_PASSWD);
        let text: String = passwd.iter().map(|line| passwd_line(line, "/bin/sh")).collect();
        assert!(!text.contains("alice") && !text.contains("hash") && text.contains("_apt:x:42:"), "{text}");
        let group = accounts(place.path(), "group", BASE_GROUP);
        let text: String = group.iter().map(|line| group_line(line)).collect();
        assert!(!text.contains("alice") && text.contains("messagebus:x:101:\n"), "{text}");
    }
}
