//! Who is at the other end of the socket, by the kernel's word, and whether they may be there.
//!
//! Root, the daemon's own user and members of the group `berth` may do everything: whoever may start a privileged
//! container is root on this host, so the group is as good as root and says so. Users and groups are looked up in
//! `/etc/passwd` and `/etc/group`; a directory service is not asked.

use std::fs;

use crate::sys;
use crate::sys::socket::Peer;
use crate::types::Principal;

/// The group whose members are let in.
pub const GROUP: &str = "berth";

/// Is a caller with what the kernel vouches for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// Whether they may come in.
    pub allowed: bool,
    /// Their user and group, as the kernel tells them.
    pub ids: (u32, u32),
}

impl Caller {
    /// Recognises the peer of a connection.
    pub fn of(peer: Peer, daemon: u32) -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        Self::recognise(peer, daemon, &passwd, &group)
    }

    fn recognise(peer: Peer, daemon: u32, passwd: &str, group: &str) -> Self {
        let known = user_name(passwd, peer.user);
        let name = known.clone().unwrap_or_else(|| format!("uid {}", peer.user));
        let allowed = peer.user == 0 || peer.user == daemon || is_member(group, known.as_deref(), peer.group);
        Self { principal: Principal::local(&name, peer.user), allowed, ids: (peer.user, peer.group) }
    }
}

/// Returns who runs this very process.
pub fn own_principal() -> Principal {
    let user = sys::process::effective_user();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let who = user_name(&passwd, user).unwrap_or_else(|| format!("uid {user}"));
    Principal { who, how: format!("command line uid {user}") }
}

/// Returns the id of the group `berth`, if this host has it.
pub fn group_id() -> Option<u32> {
    find_group(&fs::read_to_string("/etc/group").unwrap_or_default()).map(|(id, _)| id)
}

/// Finds a user's name (passwd(5)).
fn user_name(passwd: &str, user: u32) -> Option<String> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut fitting = fields.filter(|fields| fields.get(2).and_then(|id| id.parse().ok()) == Some(user));
    fitting.next().map(|fields| fields[0].to_owned())
}

/// Finds the id and the members of the group `berth` (group(5)).
fn find_group(group: &str) -> Option<(u32, Vec<&str>)> {
    group.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [name, _, id, members] if *name == GROUP => Some((id.parse().ok()?, members.split(',').collect())),
            _ => None,
        }
    })
}

fn is_member(group: &str, name: Option<&str>, primary: u32) -> bool {
    find_group(group).is_some_and(|(id, members)| id == primary || name.is_some_and(|name| members.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_daemon_and_the_group_are_let_in_and_nobody_else() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\nbob:x:1001:1001::/:\neve:x:1002:77::/:\n";
        let group = "root:x:0:\nberth:x:77:ann\n";
        let allowed = |user, primary| {
            let caller = Caller::recognise(Peer { pid: 1, user, group: primary }, 500, passwd, group);
            (caller.principal.who, caller.allowed)
        };
        assert_eq!(allowed(0, 0), ("root".to_owned(), true));
        assert_eq!(allowed(500, 500), ("uid 500".to_owned(), true));
        assert_eq!(allowed(1000, 1000), ("ann".to_owned(), true));
        assert_eq!(allowed(1001, 1001), ("bob".to_owned(), false));
        assert_eq!(allowed(1002, 77), ("eve".to_owned(), true));
        assert_eq!(allowed(4242, 4242), ("uid 4242".to_owned(), false));
    }

    #[test]
    fn a_host_without_the_group_lets_no_member_in() {
        assert!(!is_member("root:x:0:\n", Some(""), 77));
        assert!(!is_member("berth:x:77:\n", None, 1000));
    }
}
