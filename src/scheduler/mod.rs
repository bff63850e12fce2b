//! L6: what is due, and the ticker that says so.
