//! L0: the only home of `unsafe` and of raw kernel calls, as thin safe wrappers.
