//! Turns what the host shows into commands.
