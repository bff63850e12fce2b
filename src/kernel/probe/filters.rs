//! Room for the system call filters of programs without privileges of the host.

use super::isolation::in_child;
use super::{Feature, Weight};
use crate::kernel::security::{self, Kind, Profile};
use crate::sys::process::{self, ForkOptions};
use crate::sys::{capability, seccomp};

const NAME: &str = "room for compiled filters";
const NONE: &str = "whoever has no privilege of the host can put no system call filter on, services inside containers among them: \
                    the kernel has no room left, which all users of the machine share (net.core.bpf_jit_limit)";

pub(super) fn probe() -> Vec<Feature> {
    if !seccomp::is_available() {
        return Vec::new();
    }
    if !process::is_single_threaded() {
        return vec![Feature::unknown(NAME, Weight::Optional, super::ONE_THREAD)];
    }
    let tried = in_child(ForkOptions::default(), put_one_on);
    vec![Feature::new(NAME, Weight::Optional, tried.map(|()| String::new()).map_err(|_| NONE.to_owned()))]
}

/// Does what a service does, in a process that ends with it: one that has given up whatever privileges it had.
fn put_one_on() -> bool {
    let _ = capability::keep_only(0);
    security::put_filter_on(Profile { kind: Kind::Command, nesting: false, host: false }).is_ok()
}
