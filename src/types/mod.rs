//! L0: the words everything else is said in.
//!
//! Newtypes that parse what comes in and print what goes out; nothing here knows about events, rules or the kernel.

mod address;
mod byte_path;
mod counted;
mod cpus;
mod fingerprint;
mod hits;
mod host_name;
mod id;
mod id_range;
mod label;
mod left_out;
mod mac;
mod managed;
mod name;
mod principal;
mod refusal_class;
mod size;
mod stream;
mod suggest;
mod terminal;
mod time;
mod usage;

pub use address::{InvalidSubnet, Ipv4Subnet, Subnet};
pub use byte_path::{BytePath, InvalidBytePath, readings};
pub use counted::counted;
pub use cpus::{Cpus, InvalidCpus};
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use hits::{DiskFaults, Hits, MemoryBound};
pub use host_name::{HOST_NAME_LENGTH_MAX, HostName, InvalidHostName};
pub use id::{
    BackupId, ContainerId, ID_LENGTH, InvalidId, LogId, NetworkId, NodeId, OperationId, PREFIX_LENGTH_MIN, RunId,
    ScheduleId, SessionId, StoreId, TemplateId,
};
pub use id_range::IdRange;
pub use label::{InvalidLabel, LABEL_LENGTH_MAX, LABEL_PREFIX_LENGTH_MAX, Label, LabelKey, LabelValue};
pub use left_out::LeftOut;
pub use mac::{InvalidMacAddress, MacAddress};
pub use managed::{InvalidManaged, Managed, ManagedFile};
pub use name::{InvalidName, NAME_LENGTH_MAX, Name};
pub use principal::Principal;
pub use refusal_class::RefusalClass;
pub use size::{InvalidSize, Size};
pub use stream::{Category, InvalidStreamName, Position, StreamName, Version};
pub use suggest::suggest;
pub use terminal::{is_unsafe_for_terminal, terminal_safe};
pub use time::{
    CATCH_UP_ALL_MAX, CLOCK_SLACK, CatchUp, Clock, ClockWatch, CronExpression, Gap, Gaps, InvalidCatchUp, InvalidCron,
    InvalidSpan, InvalidWindow, InvalidZone, MissReason, Reading, SkipReason, Span, Step, StepNotice, Timestamp, Trust,
    WaitReason, Window, Zone,
};
pub use usage::Usage;
