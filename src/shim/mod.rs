//! L3: the supervisor of one container and the protocol it speaks: tiny, single-threaded.
