//! What a container's root does to hold others up: this test binary again, put into containers as `drain` is.
//!
//! `act DEED` does it, prints `done WHAT` and stays.

#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;

use berth::sys::socket;

/// How long a group's name is here: seventeen of them are longer than any path.
const NAME: usize = 250;

/// Does what the arguments say if they are for a deed; never returns then.
pub fn run_if_asked() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [word, deed] = arguments.as_slice() else { return };
    if word != "act" {
        return;
    }
    let what = match deed.as_str() {
        "nest" => nest(),
        "send-file" => send_file(),
        "hold-file" => hold_file(),
        "live-elsewhere" => live_elsewhere(),
        "send-connection" => send_connection(),
        "wait" => wait_in_the_kernel(),
        "write-on" => write_on(),
        _ => return,
    };
    println!("done {}", what.unwrap_or_else(|error| error.to_string()));
    io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}

/// Makes groups one in another until it is refused, and moves the first process to the twentieth.
fn nest() -> io::Result<String> {
    std::env::set_current_dir("/sys/fs/cgroup")?;
    let name = "x".repeat(NAME);
    let mut depth = 0;
    let refused = loop {
        match fs::create_dir(&name).and_then(|()| std::env::set_current_dir(&name)) {
            Ok(()) if depth < 5000 => depth += 1,
            Ok(()) => return Err(io::Error::other("there is no bound")),
            Err(error) => break error,
        }
    };
    for _ in 20..depth {
        std::env::set_current_dir("..")?;
    }
    fs::write("cgroup.procs", "1")?;
    Ok(format!("{depth}, {}", refused.raw_os_error().unwrap_or(0)))
}

fn tell(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.connect("/run/host/ctl/notify")?;
    socket::send(&sender, b"STATUS=with a gift", &[descriptor])
}

/// Sends a file of a file system that answers everything but that the file is closed. Its server is another process, since
/// one that serves itself never ends.
fn send_file() -> io::Result<String> {
    let device = mount()?;
    // SAFETY: there is one thread, and the child goes on as any program does.
    match unsafe { libc::fork() } {
        0 => {
            serve(device);
            std::process::exit(0);
        }
        _ => drop(device),
    }
    let file = open_place()?;
    tell(file.as_fd())?;
    std::mem::forget(file);
    Ok("sent".to_owned())
}

/// Opens a file of a file system that it serves itself.
fn hold_file() -> io::Result<String> {
    let device = mount()?;
    std::thread::spawn(move || serve(device));
    std::mem::forget(open_place()?);
    Ok("open".to_owned())
}

/// Takes a file system of its own, which never opens a directory, for its root.
fn live_elsewhere() -> io::Result<String> {
    mount_unanswering()?;
    std::os::unix::fs::chroot("/place")?;
    Ok("gone".to_owned())
}

/// Waits for the answer of a file system that gives none, where no signal reaches and no freezer.
fn wait_in_the_kernel() -> io::Result<String> {
    mount_unanswering()?;
    std::thread::spawn(|| fs::read_dir("/place").map(drop));
    std::thread::sleep(std::time::Duration::from_millis(300));
    Ok("waits".to_owned())
}

/// Asks the kernel in one call for much more writing than anybody waits for.
fn write_on() -> io::Result<String> {
    let file = File::create("/much")?;
    std::thread::spawn(move || submit_writes(&file));
    while fs::metadata("/much")?.len() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok("writes".to_owned())
}

/// Is `struct iocb` of linux/aio_abi.h.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key_and_flags: u64,
    operation: u16,
    priority: i16,
    file: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    event: u64,
}

fn submit_writes(file: &File) {
    const WRITE: u16 = 1;
    const COUNT: usize = 200;
    let block = vec![7_u8; 16 << 20];
    let request = |number: usize| Request {
        operation: WRITE,
        file: file.as_raw_fd() as u32,
        buffer: block.as_ptr() as u64,
        length: block.len() as u64,
        offset: (number * block.len()) as i64,
        ..Request::default()
    };
    let requests: Vec<Request> = (0..COUNT).map(request).collect();
    let pointers: Vec<*const Request> = requests.iter().map(std::ptr::from_ref).collect();
    let mut context = 0_u64;
    // SAFETY: the requests, what they write and the list of them live across both calls; writes to a file are over by then.
    unsafe {
        libc::syscall(libc::SYS_io_setup, COUNT, &raw mut context);
        libc::syscall(libc::SYS_io_submit, context, COUNT, pointers.as_ptr());
    }
}

/// Mounts a file system at /place that never opens a directory; its server is another process.
fn mount_unanswering() -> io::Result<()> {
    fs::create_dir("/place")?;
    let device = mount_as(0o040_755)?;
    // SAFETY: there is one thread, and the child goes on as any program does.
    match unsafe { libc::fork() } {
        0 => {
            serve(device);
            std::process::exit(0);
        }
        _ => drop(device),
    }
    Ok(())
}

fn mount() -> io::Result<File> {
    fs::write("/place", "")?;
    mount_as(0o100_000)
}

fn mount_as(mode: u32) -> io::Result<File> {
    let device = File::options().read(true).write(true).open("/dev/fuse")?;
    let options = format!("fd={},rootmode={mode:o},user_id=0,group_id=0\0", device.as_raw_fd());
    let (none, kind) = (c"none".as_ptr(), c"fuse".as_ptr());
    // SAFETY: strings that live across the call.
    let mounted = unsafe { libc::mount(none, c"/place".as_ptr(), kind, 0, options.as_ptr().cast()) };
    if mounted < 0 { Err(io::Error::last_os_error()) } else { Ok(device) }
}

fn open_place() -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/place")
}

/// The least that a server of linux/fuse.h has to say.
fn serve(mut device: File) {
    const INITIALIZE: u32 = 26;
    const OPEN: u32 = 14;
    const FLUSH: u32 = 25;
    const OPEN_DIRECTORY: u32 = 27;
    let mut request = vec![0_u8; 1 << 18];
    while let Ok(length) = device.read(&mut request) {
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        let operation = word(4);
        let body: Vec<u32> = match operation {
            FLUSH | OPEN_DIRECTORY => continue,
            // Version 7.31 and no feature; all else zero, as long as the kernel wants it.
            INITIALIZE => [7, 31, 0, 0, 0, 1 << 16, 1].into_iter().chain([0; 9]).collect(),
            // A handle, and that the kernel is to keep no page of it.
            OPEN => vec![1, 0, 1, 0],
            _ => vec![],
        };
        let error = if body.is_empty() { -libc::ENOSYS } else { 0 };
        let mut answer = Vec::from(((16 + 4 * body.len()) as u32).to_ne_bytes());
        answer.extend(error.to_ne_bytes());
        answer.extend(&request[8..16]);
        answer.extend(body.iter().flat_map(|word| word.to_ne_bytes()));
        if length < 40 || device.write_all(&answer).is_err() {
            return;
        }
    }
}

/// Sends a connection that lingers: nobody reads what is on the way in it.
fn send_connection() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut connection = TcpStream::connect(listener.local_addr()?)?;
    connection.set_nonblocking(true)?;
    while connection.write(&[0; 1 << 14]).is_ok() {}
    let linger = libc::linger { l_onoff: 1, l_linger: 3600 };
    let length = size_of_val(&linger) as libc::socklen_t;
    // SAFETY: one structure with its length, which lives across the call.
    unsafe {
        let number = connection.as_raw_fd();
        libc::setsockopt(number, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), length);
    }
    tell(connection.as_fd())?;
    drop(connection);
    std::mem::forget(listener);
    Ok("sent".to_owned())
}
