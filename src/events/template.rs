//! Facts about templates: immutable trees that containers share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::InitKind;
use super::{Closing, DomainEvent, Mark, kinds};
use crate::types::{Category, Name, Size, TemplateId};

/// Says where a template's tree comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum TemplateSource {
    /// A directory on the node.
    Directory {
        /// Its absolute path.
        path: String,
    },
    /// A tar archive on the node: plain, gz, xz or zst.
    Archive {
        /// Its absolute path.
        path: String,
    },
    /// The node's own system, without its users, keys and services.
    Host,
}

/// Says what a sealed template holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSummary {
    /// BLAKE3 of the canonical catalogue stream, in hexadecimal.
    pub digest: String,
    /// Bytes of file contents.
    pub size: Size,
    /// Number of entries.
    pub entries: u64,
    /// The init that was found; none means that only commands can run.
    pub init: Option<InitKind>,
    /// What `/etc/os-release` calls it.
    pub system: Option<String>,
    /// What its source had and no two machines may share, by kind; it is not in the template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken_out: BTreeMap<String, TakenOut>,
}

/// Says what of one kind was taken out of a template.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TakenOut {
    /// How many.
    pub count: u64,
    /// The first few of their paths.
    pub paths: Vec<String>,
}

impl TemplateSummary {
    /// Returns the kinds that were taken out, in words; nothing if there were none.
    pub fn taken_out_words(&self) -> Option<String> {
        let words = |(kind, taken): (&String, &TakenOut)| match taken.count {
            1 => kind.clone(),
            count => format!("{kind} ({count})"),
        };
        (!self.taken_out.is_empty()).then(|| self.taken_out.iter().map(words).collect::<Vec<_>>().join(", "))
    }
}

/// Is a fact about a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TemplateEvent {
    /// Somebody asked for a template of that name.
    TemplateImportRequested {
        /// Its id.
        id: TemplateId,
        /// Its name.
        name: Name,
        /// Where from.
        source: TemplateSource,
    },
    /// The name is reserved.
    TemplateNameClaimed,
    /// The tree is complete, read-only and known by its digest.
    TemplateSealed(TemplateSummary),
    /// The import does not work out: what is there goes.
    TemplateImportFailing {
        /// Why.
        reason: String,
    },
    /// Somebody called the import off: what is there goes.
    TemplateImportCancelRequested,
    /// The tree is gone, the name follows.
    TemplateTreeRemoved,
    /// The import came to nothing; what was there is removed.
    TemplateImportFailed {
        /// Why.
        reason: String,
    },
    /// The import was called off; what was there is removed.
    TemplateImportCancelled,
    /// The unfinished tree could not be removed.
    TemplateImportStuck {
        /// Why.
        reason: String,
    },
    /// The holder uses the template.
    TemplateClaimed {
        /// The stream of the user.
        holder: String,
    },
    /// The holder no longer uses it.
    TemplateReleased {
        /// The stream of the user.
        holder: String,
    },
    /// Somebody compared the tree with its digest.
    TemplateVerifyRequested,
    /// The tree is what it was when sealed.
    TemplateVerified,
    /// The tree is not what it was when sealed.
    TemplateDriftFound {
        /// What differs, the first few paths.
        paths: Vec<String>,
        /// How many differ.
        count: u64,
    },
    /// The comparison could not be made.
    TemplateVerifyFailed {
        /// Why.
        reason: String,
    },
    /// Somebody asked to delete it.
    TemplateDeleteRequested,
    /// It is gone.
    TemplateDeleted,
    /// It could not be removed.
    TemplateDeleteStuck {
        /// Why.
        reason: String,
    },
}

impl DomainEvent for TemplateEvent {
    const CATEGORY: Category = Category::Template;
    const KINDS: &'static [&'static str] = kinds!(TemplateEvent:
        TemplateImportRequested, TemplateNameClaimed, TemplateSealed, TemplateImportFailing,
        TemplateImportCancelRequested, TemplateTreeRemoved, TemplateImportFailed, TemplateImportCancelled, TemplateImportStuck,
        TemplateClaimed, TemplateReleased, TemplateVerifyRequested, TemplateVerified, TemplateDriftFound,
        TemplateVerifyFailed, TemplateDeleteRequested, TemplateDeleted, TemplateDeleteStuck);

    fn mark(&self) -> Mark {
        let closed = |outcome| Mark::Closed { outcome };
        match self {
            Self::TemplateImportRequested { .. } => Mark::Opened { verb: "template import" },
            Self::TemplateVerifyRequested => Mark::Opened { verb: "template verify" },
            Self::TemplateDeleteRequested => Mark::Opened { verb: "template delete" },
            Self::TemplateNameClaimed => Mark::Phase { name: "copying" },
            Self::TemplateImportFailing { .. } | Self::TemplateImportCancelRequested => Mark::Phase { name: "undoing" },
            Self::TemplateImportCancelled => closed(Closing::Cancelled),
            Self::TemplateSealed(_) | Self::TemplateVerified | Self::TemplateDeleted => closed(Closing::Done),
            Self::TemplateImportFailed { reason } | Self::TemplateVerifyFailed { reason } => {
                closed(Closing::Failed { reason: reason.clone() })
            }
            Self::TemplateDriftFound { count, .. } => {
                closed(Closing::DoneWithExceptions { reason: format!("{count} paths differ from the sealed tree") })
            }
            Self::TemplateDeleteStuck { reason } | Self::TemplateImportStuck { reason } => {
                closed(Closing::Stuck { reason: reason.clone() })
            }
            Self::TemplateTreeRemoved | Self::TemplateClaimed { .. } | Self::TemplateReleased { .. } => Mark::Fact,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::TemplateImportRequested { name, .. } => format!("import of template {name} requested"),
            Self::TemplateNameClaimed => "name claimed".to_owned(),
            Self::TemplateSealed(summary) => {
                let taken = summary.taken_out_words().map(|words| format!("; taken out: {words}")).unwrap_or_default();
                format!("template sealed: {} entries, {}{taken}", summary.entries, summary.size)
            }
            Self::TemplateImportFailed { reason } => format!("import failed: {reason}"),
            Self::TemplateImportFailing { reason } => format!("import failing: {reason}"),
            Self::TemplateImportCancelRequested => "import called off".to_owned(),
            Self::TemplateTreeRemoved => "tree removed".to_owned(),
            Self::TemplateImportCancelled => "import cancelled".to_owned(),
            Self::TemplateImportStuck { reason } => format!("unfinished tree could not be removed: {reason}"),
            Self::TemplateClaimed { holder } => format!("used by {holder}"),
            Self::TemplateReleased { holder } => format!("no longer used by {holder}"),
            Self::TemplateVerifyRequested => "verification requested".to_owned(),
            Self::TemplateVerified => "verified: the tree is as sealed".to_owned(),
            Self::TemplateDriftFound { count, .. } => format!("{count} paths differ from the sealed tree"),
            Self::TemplateVerifyFailed { reason } => format!("verification failed: {reason}"),
            Self::TemplateDeleteRequested => "deletion requested".to_owned(),
            Self::TemplateDeleted => "template deleted".to_owned(),
            Self::TemplateDeleteStuck { reason } => format!("deletion stuck: {reason}"),
        }
    }
}
