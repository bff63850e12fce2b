//! L2: the rules, pure: no clock, no randomness, no input or output.
