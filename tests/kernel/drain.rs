//! The program that drains a pool: this test binary again, put into containers and run on the host.
//!
//! `drain POOL COUNT` takes at most so many, prints `took N, ERRNO`, and with `hold` behind it keeps them until its
//! standard input ends.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::{Stop, scratch};

/// Where it lies in a container that has [`lower`] among its layers.
pub const INSIDE: &str = "/drain";

/// Does what the arguments say if they are for a drain; never returns then.
pub fn run_if_asked() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [word, pool, count, rest @ ..] = arguments.as_slice() else { return };
    if word != "drain" {
        return;
    }
    raise_limits();
    let (taken, refusal) = drain(pool, count.parse().unwrap());
    println!("took {taken}, {}", refusal.raw_os_error().unwrap_or(0));
    io::stdout().flush().unwrap();
    if rest.first().is_some_and(|word| word == "hold") {
        let _ = io::stdin().read_to_end(&mut Vec::new());
    }
    // SAFETY: ends the process group that a drain of processes has made.
    unsafe { libc::kill(0, libc::SIGKILL) };
}

/// As many descriptors as the kernel lets one have.
fn raise_limits() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one rlimit that lives across both calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        libc::setpgid(0, 0);
    }
}

/// Takes until it is refused or has enough; what was taken stays with the process.
fn drain(pool: &str, most: usize) -> (usize, io::Error) {
    for taken in 0..most {
        if let Err(error) = take(pool, taken) {
            return (taken, error);
        }
    }
    (most, io::Error::from_raw_os_error(0))
}

fn done(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn take(pool: &str, number: usize) -> io::Result<()> {
    // SAFETY (all below): plain numbers, or memory that lives across the call; descriptors are kept on purpose.
    match pool {
        "inotify" => done(unsafe { libc::inotify_init1(0) }.into()),
        "terminals" => open_terminal("/dev/ptmx"),
        "terminals-elsewhere" => open_terminal("/mnt/ptmx"),
        "timers" => {
            let mut timer: libc::timer_t = std::ptr::null_mut();
            done(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, std::ptr::null_mut(), &raw mut timer) }.into())
        }
        "message-queues" => {
            let name = CString::new(format!("/drain{number}")).unwrap();
            let flags = libc::O_CREAT | libc::O_RDWR;
            done(unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, std::ptr::null::<libc::mq_attr>()) }.into())
        }
        "shared-memory" => done(unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) }.into()),
        "semaphores" => done(unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) }.into()),
        "processes" => match unsafe { libc::fork() } {
            0 => loop {
                unsafe { libc::pause() };
            },
            pid => done(pid.into()),
        },
        "watches" => watch(number),
        "locked-memory" => {
            let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let place = unsafe { libc::mmap(std::ptr::null_mut(), 1 << 20, access, kind, -1, 0) };
            done(unsafe { libc::mlock(place, 1 << 20) }.into())
        }
        "in-flight" => send_in_flight(),
        "tcp" => fill_connection(),
        "device-locks" => lock_device(number),
        "filters" => attach_filter(),
        "files" => fs::File::open(std::env::current_exe()?).map(std::mem::forget),
        "names" => fs::File::create(format!("/dev/shm/drain-{number}")).map(drop),
        "names-that-are-not" => done(i64::from(Path::new(&format!("/drain-{number}-is-not")).exists())),
        "mounts" => bind_once(number),
        "groups" => fs::create_dir(format!("/sys/fs/cgroup/drain{number}")),
        "keys" => {
            let name = CString::new(format!("drain{number}")).unwrap();
            let kind = c"user".as_ptr();
            done(unsafe { libc::syscall(libc::SYS_add_key, kind, name.as_ptr(), c"x".as_ptr(), 1, -2_i64) })
        }
        "fanotify" => done(unsafe { libc::syscall(libc::SYS_fanotify_init, 0x200, 0) }),
        "kernel-log" => done(unsafe { libc::syscall(libc::SYS_syslog, 3, std::ptr::null_mut::<u8>(), 0) }),
        family => {
            let family = family.strip_prefix("socket-").and_then(|text| text.parse().ok());
            done(unsafe { libc::socket(family.unwrap(), libc::SOCK_DGRAM, 0) }.into())
        }
    }
}

/// Sends a descriptor 200 times to nobody: what is sent and not received stays, and counts as the sender's user's.
fn send_in_flight() -> io::Result<()> {
    const MANY: usize = 200;
    let (pair, null) = (std::os::unix::net::UnixDatagram::pair()?, fs::File::open("/dev/null")?);
    let mut control = [0_u64; 128];
    let mut byte = libc::iovec { iov_base: (&raw mut control).cast(), iov_len: 1 };
    // SAFETY: msghdr is plain data; the buffers live across the call, and the control buffer has room for what is put in.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut byte, 1);
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = libc::CMSG_SPACE((MANY * size_of::<i32>()) as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN((MANY * size_of::<i32>()) as u32) as _;
        let all = [null.as_raw_fd(); MANY];
        std::ptr::copy_nonoverlapping(all.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size_of_val(&all));
        done(libc::sendmsg(pair.0.as_raw_fd(), &raw const message, 0) as i64)?;
    }
    std::mem::forget(pair);
    Ok(())
}

/// Makes a connection to itself and writes until nobody takes more. What more than 64 MiB lie in is too much.
fn fill_connection() -> io::Result<()> {
    use std::net::{TcpListener, TcpStream};
    static FILLED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (receiver, _) = listener.accept()?;
    let large: libc::c_int = 4 << 20;
    for (socket, option) in [(receiver.as_raw_fd(), libc::SO_RCVBUF), (sender.as_raw_fd(), libc::SO_SNDBUF)] {
        // SAFETY: one number that lives across the call.
        done(unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, option, (&raw const large).cast(), 4) }.into())?;
    }
    sender.set_nonblocking(true)?;
    let (mut stuck, block) = (0, vec![7; 1 << 16]);
    while stuck < 20 {
        let Ok(count) = sender.write(&block) else {
            stuck += 1;
            std::thread::sleep(std::time::Duration::from_micros(200));
            continue;
        };
        stuck = 0;
        let filled = FILLED.fetch_add(count, std::sync::atomic::Ordering::Relaxed) + count;
        if filled > 64 << 20 {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
    }
    std::mem::forget((sender, receiver));
    Ok(())
}

/// Locks a device that everybody has, for itself alone: a lock is of the node.
fn lock_device(number: usize) -> io::Result<()> {
    let node = fs::File::open(format!("/dev/{}", ["null", "zero", "full", "random", "urandom"][number]))?;
    // SAFETY: a plain number; the descriptor is kept on purpose.
    done(unsafe { libc::flock(node.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }.into())?;
    std::mem::forget(node);
    Ok(())
}

/// `ENOTSUPP` of the kernel, which has no name here: a filter cannot be compiled.
pub const NO_ROOM_FOR_FILTERS: i32 = 524;

/// Gives a socket a filter of its own: the largest that there is room for.
fn attach_filter() -> io::Result<()> {
    const DIVIDE_AND_KEEP_THE_REST: u16 = 0x94;
    const RETURN: u16 = 0x06;
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    let mut refusal = io::Error::from_raw_os_error(0);
    for length in [4095, 2000, 100, 0] {
        // It becomes longer than any other instruction.
        let rest = libc::sock_filter { code: DIVIDE_AND_KEEP_THE_REST, jt: 0, jf: 0, k: 7 };
        let mut filter = vec![rest; length];
        filter.push(libc::sock_filter { code: RETURN, ..rest });
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
        let (place, size) = ((&raw const program).cast(), size_of_val(&program) as u32);
        // SAFETY: the program and its instructions live across the call.
        let attached = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, place, size) };
        match done(attached.into()) {
            Ok(()) => {
                std::mem::forget(socket);
                return Ok(());
            }
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Watches one of 200 descriptors, each epoll all of them: there are more watches than descriptors.
fn watch(number: usize) -> io::Result<()> {
    const WATCHED: usize = 200;
    static OPEN: std::sync::Mutex<(Vec<i32>, i32)> = std::sync::Mutex::new((Vec::new(), -1));
    let mut open = OPEN.lock().unwrap();
    // SAFETY: plain numbers, and one structure that lives across the call; the descriptors are kept on purpose.
    unsafe {
        if number < WATCHED {
            open.0.push(libc::eventfd(0, 0));
        }
        if number.is_multiple_of(WATCHED) {
            open.1 = libc::epoll_create1(0);
        }
        let mut wanted = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        done(libc::epoll_ctl(open.1, libc::EPOLL_CTL_ADD, open.0[number % WATCHED], &raw mut wanted).into())
    }
}

fn bind_once(number: usize) -> io::Result<()> {
    let place = format!("/dev/shm/mount-{number}");
    fs::create_dir(&place)?;
    let place = CString::new(place)?;
    // SAFETY: strings that live across the call.
    let bind = |place: &std::ffi::CStr| unsafe {
        libc::mount(c"/tmp".as_ptr(), place.as_ptr(), std::ptr::null(), libc::MS_BIND, std::ptr::null())
    };
    done(bind(&place).into())
}

fn open_terminal(path: &str) -> io::Result<()> {
    std::mem::forget(fs::File::options().read(true).write(true).open(path)?);
    Ok(())
}

/// Makes the layer that has the program and the libraries it is linked to.
pub fn lower() -> Result<PathBuf, Stop> {
    static LOWER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = LOWER.get_or_init(|| make_lower().map_err(|error| error.to_string()));
    made.clone().map_err(Stop::Failed)
}

fn make_lower() -> io::Result<PathBuf> {
    let (root, own) = (scratch().join("drain-root"), std::env::current_exe()?);
    fs::create_dir_all(&root)?;
    fs::copy(&own, root.join(INSIDE.trim_start_matches('/')))?;
    let told = Command::new("ldd").arg(&own).output()?;
    for library in String::from_utf8_lossy(&told.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap_or(Path::new("/")))?;
        fs::copy(library, target)?;
    }
    Ok(root)
}
