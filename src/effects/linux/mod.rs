//! The real host: the kernel, the disks and the network of this machine.
