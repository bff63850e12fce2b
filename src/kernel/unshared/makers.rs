//! Programs of a container that make what only they know how to make.

use crate::sys::fs::{BorrowedFd, FileKind, resolve};

/// One such program.
struct Maker {
    /// Who needs what it makes.
    server: &'static str,
    /// What it makes; the last part may have one `*`. It is not run where there is any.
    makes: &'static str,
    /// The program and its arguments.
    argv: &'static [&'static str],
}

/// All of them. Where a system has a unit of its own for it (OpenRC, Fedora), that finds it done.
#[rustfmt::skip]
const MAKERS: &[Maker] = &[
    Maker { server: "usr/sbin/sshd", makes: "etc/ssh/ssh_host_*_key", argv: &["/usr/bin/ssh-keygen", "-A"] },
    Maker { server: "usr/sbin/dropbear", makes: "etc/dropbear/dropbear_ed25519_host_key",
        argv: &["/usr/bin/dropbearkey", "-t", "ed25519", "-f", "/etc/dropbear/dropbear_ed25519_host_key"] },
    Maker { server: "usr/sbin/dropbear", makes: "etc/dropbear/dropbear_ecdsa_host_key",
        argv: &["/usr/bin/dropbearkey", "-t", "ecdsa", "-f", "/etc/dropbear/dropbear_ecdsa_host_key"] },
    Maker { server: "usr/sbin/dropbear", makes: "etc/dropbear/dropbear_rsa_host_key",
        argv: &["/usr/bin/dropbearkey", "-t", "rsa", "-f", "/etc/dropbear/dropbear_rsa_host_key"] },
    Maker { server: "usr/sbin/make-ssl-cert", makes: "etc/ssl/private/ssl-cert-snakeoil.key",
        argv: &["/usr/sbin/make-ssl-cert", "generate-default-snakeoil"] },
];

/// Returns what is to be run, in this order.
pub(super) fn wanted(root: BorrowedFd<'_>) -> Vec<Vec<String>> {
    let wanted = MAKERS.iter().filter(|maker| {
        is_program(root, maker.server)
            && is_program(root, maker.argv[0].trim_start_matches('/'))
            && super::found(root, maker.makes).is_ok_and(|made| made.is_empty())
    });
    wanted.map(|maker| maker.argv.iter().map(|&word| word.to_owned()).collect()).collect()
}

fn is_program(root: BorrowedFd<'_>, path: &str) -> bool {
    resolve(root, path.as_bytes()).is_some_and(|(_, found)| found.kind == FileKind::Regular && found.mode & 0o111 != 0)
}
