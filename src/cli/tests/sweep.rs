//! The broom for what dead instances left: what it lists, asks and tells.

use std::path::{Path, PathBuf};

use super::berth;
use crate::cli::ports::{LeftInstance, Leftover, Standing, Sweep};

/// A dead one with two things, of which one cannot be had, and one of which nobody knows.
pub(super) fn left() -> Vec<LeftInstance> {
    let things = |names: &[&str]| {
        let thing = |name: &&str| Leftover { kind: "link".to_owned(), name: (*name).to_owned() };
        names.iter().map(thing).collect()
    };
    let one = |instance: &str, state: Option<&str>, standing, names: &[&str]| LeftInstance {
        instance: instance.to_owned(),
        state: state.map(PathBuf::from),
        standing,
        things: things(names),
    };
    vec![
        one("c0ffee00", Some("/srv/x"), Standing::Dead, &["bc0ffee00net000", "vc0ffee00port00"]),
        one("deadbeef", Some("/srv/y"), Standing::Dead, &["bdeadbeefnet000"]),
        one("0badcafe", None, Standing::Unknown, &["b0badcafenet000"]),
    ]
}

pub(super) fn swept(left: &LeftInstance) -> Sweep {
    if left.instance == "deadbeef" { Sweep::Stays("it is busy".to_owned()) } else { Sweep::Removed }
}

#[test]
fn what_is_left_is_listed_asked_about_and_told() {
    let nowhere = Path::new("/nonexistent");
    let tried = berth(nowhere, "node sweep-leftovers --dry-run");
    assert!(tried.ended(0), "{tried:?}");
    assert_eq!(tried.out.matches("to be removed").count(), 3, "{tried:?}");
    assert!(tried.out.contains("nobody knows where its state is; name it with --instance"), "{tried:?}");
    let unasked = berth(nowhere, "node sweep-leftovers");
    assert!(unasked.ended(2) && !unasked.err.contains("\\n"), "{unasked:?}");
    assert!(
        unasked.err.contains("the instance c0ffee00, whose state directory /srv/x is gone, left link: 2"),
        "{unasked:?}"
    );
    let swept = berth(nowhere, "node sweep-leftovers -y");
    assert!(swept.ended(3), "{swept:?}");
    assert_eq!(swept.out.matches("removed").count(), 2, "{swept:?}");
    assert!(swept.out.contains("stays: it is busy"), "{swept:?}");
    let named = berth(nowhere, "node sweep-leftovers -y --instance 0badcafe -o json");
    assert!(named.ended(0), "{named:?}");
    let rows: serde_json::Value = serde_json::from_str(&named.out).unwrap();
    assert_eq!(
        (rows["items"][0]["outcome"].as_str(), rows["items"].as_array().map(Vec::len)),
        (Some("removed"), Some(1))
    );
    let nobody = berth(nowhere, "node sweep-leftovers -y --instance 11111111");
    assert!(nobody.ended(5), "{nobody:?}");
}
