//! One line of the catalogue: a name and everything that has to survive.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::repository::id_map::Id;
use crate::sys::fs::{Extent, Moment};

/// Names a piece of content: its BLAKE3 hash under a key of the repository, so that nobody without the key can tell
/// whether a known file is in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub [u8; 32]);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Points to a piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChunkReference {
    /// Which.
    pub id: ChunkId,
    /// Its length in bytes, before compression.
    pub length: u32,
}

/// Is the content of a regular file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileContent {
    /// The length in bytes.
    pub size: u64,
    /// Where it holds data, if it has holes; a file without holes needs no list.
    pub extents: Option<Vec<Extent>>,
    /// Its data, one extent after the other.
    pub chunks: Vec<ChunkReference>,
}

impl FileContent {
    /// Returns how many bytes of data there are, holes not counted.
    pub fn data_length(&self) -> u64 {
        self.extents.as_ref().map_or(self.size, |extents| extents.iter().map(|extent| extent.length).sum())
    }

    /// Returns where the data goes.
    pub fn data_extents(&self) -> Vec<Extent> {
        self.extents.clone().unwrap_or_else(|| vec![Extent { offset: 0, length: self.size }])
    }
}

/// Is what a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File(FileContent),
    /// A symbolic link.
    Symlink {
        /// Where it points, as bytes.
        target: Vec<u8>,
    },
    /// A character device; 0:0 is overlayfs's whiteout.
    CharDevice {
        /// The driver.
        major: u32,
        /// The device.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// The driver.
        major: u32,
        /// The device.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// Is an extended attribute, with the ids in it as the container sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attribute {
    /// Its full name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// At which bytes of the value an id of the host stands that is outside the container's range.
    pub outside: Vec<u32>,
}

/// Is one name of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path below the root as bytes, `/` between names; empty for the root itself.
    pub path: Vec<u8>,
    /// What it stands for.
    pub node: Node,
    /// The permission bits, with setuid, setgid and sticky (07777).
    pub mode: u32,
    /// The owner.
    pub owner: Id,
    /// The group.
    pub group: Id,
    /// When its content changed last.
    pub modified: Moment,
    /// When its inode changed last: cannot be restored, tells the next backup what is unchanged.
    pub changed: Moment,
    /// The inode's number where it was read: for the next backup too.
    pub inode: u64,
    /// How many names the inode had.
    pub links: u32,
    /// The first name of the same inode, for each further one.
    pub hard_link: Option<Vec<u8>>,
    /// The extended attributes by name.
    pub attributes: Vec<Attribute>,
    /// The inode flags a user can set (ioctl_iflags(2)).
    pub flags: u32,
    /// The project id of its quota.
    pub project: u32,
    /// It changed so shortly before it was looked at that an equal time stamp would prove nothing.
    pub racy: bool,
}

impl Entry {
    /// Returns the content, if it is a regular file.
    pub fn file(&self) -> Option<&FileContent> {
        match &self.node {
            Node::File(content) => Some(content),
            _ => None,
        }
    }

    /// Returns the value of an attribute.
    pub fn attribute(&self, name: &[u8]) -> Option<&[u8]> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_slice())
    }

    /// Returns the value of an attribute of overlayfs in either of its forms, as `trusted.overlay.*` or `user.overlay.*`.
    pub fn overlay_attribute(&self, name: &str) -> Option<&[u8]> {
        let found = |start: &str| self.attribute(format!("{start}.overlay.{name}").as_bytes());
        found("trusted").or_else(|| found("user"))
    }

    /// Tells whether it hides what the template has under this name.
    pub fn is_whiteout(&self) -> bool {
        match &self.node {
            Node::CharDevice { major: 0, minor: 0 } => true,
            Node::File(content) => content.size == 0 && self.overlay_attribute("whiteout").is_some(),
            _ => false,
        }
    }

    /// Tells whether it is a directory that hides what the template has in it.
    pub fn is_opaque(&self) -> bool {
        self.node == Node::Directory && self.overlay_attribute("opaque") == Some(b"y")
    }
}

/// Compares two paths in the order of a walk: by names, so that a directory comes right before what is in it.
pub fn order(left: &[u8], right: &[u8]) -> Ordering {
    // A name cannot hold NUL, so `/` counted as NUL sorts before every byte of a longer name.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    left.iter().map(rank).cmp(right.iter().map(rank))
}

/// Tells whether `path` is `directory` or lies in it.
pub fn is_beneath(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}
