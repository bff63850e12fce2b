//! The cgroup layout, and what a group of our own offers.

use super::{Feature, Weight};
use crate::kernel::cgroup::{Cgroup, Layout};
use crate::kernel::failure::Failure;
use crate::sys::process;

const CONTROLLERS: [&str; 5] = ["memory", "cpu", "pids", "cpuset", "io"];

pub(super) fn probe() -> Vec<Feature> {
    let layout = match Layout::detect() {
        Ok(layout) => layout,
        Err(failure) => return vec![Feature::new("cgroups", Weight::Required, Err(failure.to_string()))],
    };
    let described = if layout.v1.is_empty() { "pure v2".to_owned() } else { describe_hybrid(&layout) };
    let mut features = vec![Feature::new("cgroups", Weight::Required, Ok(described))];
    features.extend(CONTROLLERS.map(|name| {
        let found = controller(&layout, name);
        Feature::new(&format!("cgroup controller {name}"), Weight::Optional, found)
    }));
    features.extend(with_group(&layout));
    features
}

fn describe_hybrid(layout: &Layout) -> String {
    let names: Vec<_> = layout.v1.iter().map(|one| one.name.as_str()).collect();
    format!("hybrid: limits by v1 ({}), the rest by the unified tree", names.join(" "))
}

/// On a hybrid host io is v1's blkio.
fn controller(layout: &Layout, name: &str) -> Result<String, String> {
    let in_v1 = if name == "io" { "blkio" } else { name };
    if let Some(hierarchy) = layout.v1.iter().find(|one| one.has(in_v1)) {
        return Ok(format!("v1 at {}", hierarchy.root.display()));
    }
    let file = layout.unified.join("cgroup.controllers");
    let known = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let there = known.split_whitespace().any(|one| one == name);
    if there { Ok("v2".to_owned()) } else { Err("in no hierarchy".to_owned()) }
}

/// Makes a group, looks at it and removes it.
fn with_group(layout: &Layout) -> Vec<Feature> {
    let outcome = |result: Result<(), Failure>| result.map(|()| String::new()).map_err(|failure| failure.to_string());
    let group = match Cgroup::at(layout, None, &format!("berth-probe-{}", process::own_pid())) {
        Ok(group) => group,
        Err(failure) => return vec![Feature::new("own cgroup", Weight::Required, Err(failure.to_string()))],
    };
    let made = group.ensure_bare();
    let mut features = Vec::new();
    if made.is_ok() {
        let file = |name: &str| {
            let there = group.unified_path().join(name).exists();
            if there { Ok(String::new()) } else { Err(format!("the kernel has no {name}")) }
        };
        features.push(Feature::new("cgroup kill", Weight::Required, file("cgroup.kill")));
        features.push(Feature::new("cgroup freeze", Weight::Required, file("cgroup.freeze")));
        features.push(Feature::new("cgroup devices", Weight::Required, outcome(group.restrict_devices(false))));
    }
    features.push(Feature::new("own cgroup", Weight::Required, outcome(made.and_then(|()| group.remove()))));
    features
}
