//! Unix sockets that keep message borders (`SOCK_SEQPACKET`) and carry descriptors (`SCM_RIGHTS`, unix(7)).

#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::check;

/// The most descriptors that one message may carry here.
pub const DESCRIPTORS_MAX: usize = 16;

fn new_socket(kind: SocketType) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// Listens at `path` for packet connections; a stale socket file there is replaced. The caller's file mode mask
/// decides who may connect.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket(SocketType::SEQPACKET)?;
    let _ = std::fs::remove_file(path);
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 64)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Takes the next waiting connection; `None` when there is none now. The connection is non-blocking.
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    match rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(connection) => Ok(Some(connection)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Connects to a packet listener. As long as its queue is full this waits, and no longer than `limit`; neither does any
/// send afterwards.
///
/// # Errors
/// `WouldBlock` when the limit has passed, and what connect(2) says.
pub fn connect(path: &Path, limit: Duration) -> io::Result<OwnedFd> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    let socket = new_socket(SocketType::SEQPACKET)?;
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Makes a connected pair of packet sockets.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Tells whether the descriptor is a Unix socket that keeps message borders.
pub fn is_packet_socket(descriptor: impl AsFd) -> bool {
    rustix::net::sockopt::socket_type(descriptor).is_ok_and(|kind| kind == SocketType::SEQPACKET)
}

/// Makes every later call on this socket return at once.
pub fn never_block(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(socket, true)?)
}

/// Binds a datagram socket at `path` (the side of `NOTIFY_SOCKET`, sd_notify(3)); non-blocking.
pub fn bind_datagram(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket(SocketType::DGRAM)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Sends one message to the datagram socket at `path`, without waiting.
///
/// # Errors
/// Nobody listens there, or there is no room for it now.
pub fn tell(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let socket = new_socket(SocketType::DGRAM)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::sendto(&socket, bytes, SendFlags::NOSIGNAL, &SocketAddrUnix::new(path)?)?;
    Ok(())
}

/// Limits how long a blocking receive and send may take.
pub fn set_timeout(socket: impl AsFd, limit: Duration) -> io::Result<()> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(limit))?;
    Ok(set_socket_timeout(socket.as_fd(), Timeout::Send, Some(limit))?)
}

/// Sends one message with descriptors. A peer that is gone is the error `EPIPE`, never a signal.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// One received message.
#[derive(Debug, Default)]
pub struct Message {
    /// The bytes; empty at the end of the connection.
    pub bytes: Vec<u8>,
    /// The descriptors that came along, all close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Receives one message of at most `limit` bytes, with the descriptors that come along: only for senders that are trusted
/// ([`Waiting::has_descriptors`] says why).
///
/// # Errors
/// `WouldBlock` when there is nothing now (non-blocking socket, or the time limit passed); `InvalidData` for a
/// message that is longer than the limit.
pub fn receive(socket: impl AsFd, limit: usize) -> io::Result<Message> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; limit];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = message {
            descriptors.extend(list);
        }
    }
    if received.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.truncate(received.bytes);
    Ok(Message { bytes, descriptors })
}

/// A message that still waits to be received.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Its bytes, of a longer one the first.
    pub bytes: Vec<u8>,
    /// Whether descriptors come along. Whoever receives it closes the last copy of each, and that can take as long as the
    /// sender wants: a file system of its own is asked first, a connection lingers (socket(7), `SO_LINGER`).
    pub has_descriptors: bool,
}

/// Looks at the next message and leaves it where it is.
///
/// # Errors
/// `WouldBlock` when there is nothing now.
pub fn peek(socket: impl AsFd, limit: usize) -> io::Result<Waiting> {
    let mut bytes = vec![0; limit];
    let mut nothing = RecvAncillaryBuffer::default();
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut nothing, RecvFlags::PEEK)?;
    bytes.truncate(received.bytes);
    Ok(Waiting { bytes, has_descriptors: received.flags.contains(rustix::net::ReturnFlags::CTRUNC) })
}

/// Takes the next message and forgets it.
///
/// # Errors
/// `WouldBlock` when there is nothing now.
pub fn discard(socket: impl AsFd) -> io::Result<()> {
    rustix::net::recv(socket, &mut [0_u8; 1][..], RecvFlags::TRUNC)?;
    Ok(())
}

/// Refuses all further messages (`EPIPE`); what waits stays where it is until the socket is closed.
pub fn stop_receiving(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(socket, rustix::net::Shutdown::Read)?)
}

/// Who is at the other end of a connection (`SO_PEERCRED`), as of its connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process id in the caller's pid namespace.
    pub pid: i32,
    /// User id in the caller's user namespace.
    pub user: u32,
    /// Group id in the caller's user namespace.
    pub group: u32,
}

/// Returns who is at the other end.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let number = socket.as_fd().as_raw_fd();
    // SAFETY: the buffer is one ucred with its exact length; both live across the call.
    check::int(unsafe {
        let value = (&raw mut credentials).cast();
        libc::getsockopt(number, libc::SOL_SOCKET, libc::SO_PEERCRED, value, &raw mut length)
    })?;
    Ok(Peer { pid: credentials.pid, user: credentials.uid, group: credentials.gid })
}

/// Sends a whole frame by a link of the caller's network namespace, given by its number.
#[cfg(test)]
pub fn send_frame(link: u32, frame: &[u8]) -> io::Result<()> {
    let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // SAFETY: sockaddr_ll is plain data, all-zero is valid.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    (to.sll_family, to.sll_ifindex) = (libc::AF_PACKET as u16, link as i32);
    let length = size_of_val(&to) as libc::socklen_t;
    // SAFETY: frame and address live across the call and are given with their lengths.
    let sent = unsafe {
        let (bytes, address) = (frame.as_ptr().cast(), (&raw const to).cast());
        libc::sendto(socket.as_raw_fd(), bytes, frame.len(), 0, address, length)
    };
    check::long(sent as i64).map(drop)
}

/// Makes a connected pair of stream sockets.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Asks nf_tables for its generation (`NFT_MSG_GETGEN` over netlink): an answer shows that the kernel has it.
///
/// # Errors
/// What the kernel answered; `EINVAL` stands for a netfilter without nf_tables.
pub fn nf_tables_answers() -> io::Result<()> {
    const GET_GENERATION: u16 = 10 << 8 | 16;
    const REQUEST: u16 = 1;
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(rustix::net::netlink::NETFILTER),
    )?;
    set_timeout(&socket, Duration::from_secs(2))?;
    let mut message = Vec::from(20_u32.to_ne_bytes());
    message.extend(GET_GENERATION.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 12]);
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let answer = receive(&socket, 4096)?.bytes;
    let error = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_ne_bytes);
    let is_error = answer.get(4..6) == Some(&2_u16.to_ne_bytes());
    if is_error && error != 0 { Err(io::Error::from_raw_os_error(-error)) } else { Ok(()) }
}
