//! A file system that is mounted while containers begin, and let go of while they run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::roots::run;
use super::{Outcome, Stop, scratch};
use crate::check;

/// An ext4 on a loop device, mounted in a mount namespace of its own: whatever else runs on this machine copies the mounts
/// of the host when it likes, and would keep the device busy.
pub struct Mounted {
    holder: Child,
    device: String,
    place: PathBuf,
}

impl Mounted {
    pub fn new(name: &str) -> Result<Self, Stop> {
        let (image, place) = (scratch().join(format!("{name}.img")), scratch().join(name));
        fs::create_dir_all(&place)?;
        fs::File::create(&image)?.set_len(16 << 20)?;
        run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        let mut holder =
            Command::new("unshare").args(["-m", "sh", "-c", "echo; exec sleep 1000"]).stdout(Stdio::piped()).spawn()?;
        // Its namespace is there when it speaks.
        std::io::Read::read_exact(&mut holder.stdout.take().ok_or("no output")?, &mut [0])?;
        let device = run(Command::new("losetup").args(["-f", "--show"]).arg(&image));
        let device = device.map(|text| text.trim().to_owned()).unwrap_or_default();
        let this = Self { holder, device, place };
        check!(!this.device.is_empty(), "no loop device");
        this.inside(Command::new("mount").arg(&this.device).arg(&this.place))?;
        this.inside(Command::new("touch").arg(this.place.join("file")))?;
        Ok(this)
    }

    /// The words that have a command run where it is mounted.
    pub fn wrapper(&self) -> Vec<String> {
        ["nsenter", "-m", "-t", &self.holder.id().to_string()].map(str::to_owned).to_vec()
    }

    /// The namespace.
    pub fn namespace(&self) -> Result<fs::File, Stop> {
        Ok(fs::File::open(format!("/proc/{}/ns/mnt", self.holder.id()))?)
    }

    fn inside(&self, command: &Command) -> Outcome {
        let words = self.wrapper();
        let mut whole = Command::new(&words[0]);
        run(whole.args(&words[1..]).arg(command.get_program()).args(command.get_args()))?;
        Ok(())
    }

    /// Unmounts it, has it checked and detaches it: nobody else may have it in use.
    pub fn let_go(self) -> Outcome {
        self.inside(Command::new("umount").arg(&self.place))?;
        run(Command::new("e2fsck").args(["-f", "-p", &self.device]))?;
        run(Command::new("losetup").args(["-d", &self.device]))?;
        check!(!attached(&self.device)?, "{} is still in use", self.device);
        Ok(())
    }
}

fn attached(device: &str) -> Result<bool, Stop> {
    Ok(Path::new("/sys/block").join(device.trim_start_matches("/dev/")).join("loop").exists())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        if attached(&self.device).unwrap_or(false) {
            let _ = Command::new("losetup").args(["-d", &self.device]).output();
        }
    }
}
