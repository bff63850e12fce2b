//! L2: what the shim and the host share: cgroups, mounts, launching, security profiles. Functions, no policy.
