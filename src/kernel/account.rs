//! Looks a user up in the container's own account files, from inside.
//!
//! The files are the container's and not trusted: they are read with a size limit, never through a magic link, and
//! a wrong line is skipped.

use std::io::Read as _;
use std::path::Path;

use super::failure::Failure;
use crate::sys::descriptor;

/// More than this of an account file is not read.
const BYTES_MAX: u64 = 4 << 20;
/// The most supplementary groups that are taken on.
const GROUPS_MAX: usize = 256;
/// `EINVAL`, as chown(2) and setgid(2) say it of an id that the user namespace does not have.
const INVALID: i32 = 22;

/// Who a command runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name for `USER`.
    pub name: String,
    /// User id.
    pub user: u32,
    /// Primary group id.
    pub group: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

/// Finds a user by name or number, and a group, if one stands behind a colon. As with docker(1) and podman(1) a number that
/// no account has is in group 0, and whoever names a group is in no other.
///
/// # Errors
/// A name, or a number, that the container does not have.
pub fn find(wanted: &str) -> Result<Account, Failure> {
    let passwd = read(Path::new("/etc/passwd"));
    let group = read(Path::new("/etc/group"));
    find_in(wanted, &passwd, &group)
}

fn read(path: &Path) -> String {
    let mut text = Vec::new();
    let file = descriptor::open_untrusted_file(path);
    // Without the file there are only numbers; the lookup says so where a name was asked for.
    let _ = file.and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

fn find_in(wanted: &str, passwd: &str, group: &str) -> Result<Account, Failure> {
    let (user, primary) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    // Most of a long file is not looked at any closer.
    let by_name = passwd.lines().filter(|line| line.split(':').next() == Some(user)).find_map(parse_account);
    let by_number = || {
        let number: u32 = user.parse().ok()?;
        let is_number = |line: &&str| line.split(':').nth(2).is_some_and(|text| text.parse() == Ok(number));
        let known = passwd.lines().filter(is_number).find_map(parse_account);
        Some(known.unwrap_or_else(|| numbered(number)))
    };
    let root = || (user == "root").then(|| Account { name: "root".into(), home: "/root".into(), ..numbered(0) });
    let mut account = by_name.or_else(by_number).or_else(root).ok_or_else(|| unknown("user", user))?;
    match primary {
        Some(primary) => account.group = find_group(primary, group)?,
        None => account.groups = groups_of(&account.name, group),
    }
    Ok(account)
}

fn unknown(kind: &str, wanted: &str) -> Failure {
    Failure::new(&format!("look the {kind} up"), format!("the container has no {kind} {wanted:?}"))
}

fn find_group(wanted: &str, group: &str) -> Result<u32, Failure> {
    let number = |line: &str| match *line.split(':').collect::<Vec<_>>().as_slice() {
        [name, _, number, _] if name == wanted => number.parse().ok(),
        _ => None,
    };
    let found = group.lines().find_map(number).or_else(|| wanted.parse().ok());
    found.ok_or_else(|| unknown("group", wanted))
}

/// Returns the account of a number that none has.
fn numbered(number: u32) -> Account {
    Account { name: number.to_string(), user: number, group: 0, groups: Vec::new(), home: "/".to_owned() }
}

/// Says what a number means that the kernel does not take: it is beyond the maps of the user namespace
/// (user_namespaces(7)).
pub fn beyond(kind: &str, number: u32) -> impl FnOnce(Failure) -> Failure {
    let reason = format!("the container has no {kind} {number}: the number is beyond its range");
    let told = Failure::new(&format!("look the {kind} up"), reason);
    move |failure| if failure.errno == Some(INVALID) { told } else { failure }
}

/// Reads a line of passwd(5).
fn parse_account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.splitn(8, ':').collect();
    let [name, _, user, group, _, home, _] = fields.as_slice() else { return None };
    Some(Account {
        name: (*name).to_owned(),
        user: user.parse().ok()?,
        group: group.parse().ok()?,
        groups: Vec::new(),
        home: (*home).to_owned(),
    })
}

/// Reads the groups of group(5) that list this member.
fn groups_of(name: &str, group: &str) -> Vec<u32> {
    let number = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (_, rest) = rest.split_once(':')?;
        let (number, members) = rest.split_once(':')?;
        let listed = !members.contains(':') && members.split(',').any(|member| member == name);
        if listed { number.parse().ok() } else { None }
    };
    group.lines().filter_map(number).take(GROUPS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:100:Ann:/home/ann:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:bob,ann\ntape:x:26:annika\n";

    #[test]
    fn a_name_brings_its_ids_home_and_groups() {
        let ann = find_in("ann", PASSWD, GROUP).unwrap();
        assert_eq!((ann.user, ann.group, ann.groups, ann.home.as_str()), (1000, 100, vec![27], "/home/ann"));
    }

    #[test]
    fn a_number_need_not_be_known_and_a_group_can_be_given() {
        let someone = find_in("4711:5", PASSWD, GROUP).unwrap();
        assert_eq!((someone.user, someone.group, someone.home.as_str()), (4711, 5, "/"));
    }

    #[test]
    fn a_group_can_be_named_and_is_then_the_only_one() {
        let ann = find_in("ann:tape", PASSWD, GROUP).unwrap();
        assert_eq!((ann.user, ann.group, ann.groups), (1000, 26, vec![]));
        assert_eq!(find_in("0:root", PASSWD, GROUP).unwrap().group, 0);
        assert_eq!(find_in("99999", PASSWD, GROUP).unwrap().group, 0, "as docker and podman have it");
        let failure = find_in("root:nogroup", PASSWD, GROUP).unwrap_err();
        assert_eq!(failure.reason, "the container has no group \"nogroup\"");
    }

    #[test]
    fn a_number_that_the_kernel_does_not_take_is_named() {
        let refused = |errno| Failure { step: "make the pipes".into(), reason: "why".into(), errno: Some(errno) };
        let told = beyond("user", 99_999)(refused(INVALID));
        assert_eq!(told.reason, "the container has no user 99999: the number is beyond its range");
        assert_eq!(beyond("user", 5)(refused(24)).reason, "why");
    }

    proptest! {
        #[test]
        fn foreign_account_files_never_panic(wanted in ".*", passwd in ".*", group in "[a-z:,0-9\n]*") {
            let _ = find_in(&wanted, &passwd, &group);
            let _ = find_in("ann", &passwd, &group);
        }
    }

    #[test]
    fn a_line_of_any_other_shape_is_no_account_and_no_group() {
        for passwd in ["ann:x:1000:100:Ann:/home/ann", "ann:x:1000:100:Ann:/home/ann:/bin/sh:more"] {
            assert!(find_in("ann", passwd, GROUP).is_err(), "{passwd}");
        }
        for group in ["sudo:x:27:bob,ann:more", "sudo:x:27", "sudo:27:ann", "sudo:x:many:ann"] {
            assert_eq!(find_in("ann", PASSWD, group).unwrap().groups, Vec::<u32>::new(), "{group}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_and_root_needs_no_file() {
        assert!(find_in("eve", PASSWD, GROUP).is_err());
        assert_eq!(find_in("root", "", "").unwrap().user, 0);
    }
}
