//! Wires the concrete parts together; the only file that names adapters.

fn main() {}
