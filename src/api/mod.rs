//! L6: the HTTP interface over a Unix socket.
