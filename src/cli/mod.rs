//! L7: the command line, one verb one file.
