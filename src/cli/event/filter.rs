//! Which events are meant.

use clap::Args;

use crate::api::client::Target;
use crate::cli::complete;
use crate::cli::moment::with_zone;
use crate::types::Timestamp;

/// Narrows a list of events.
#[derive(Debug, Clone, Default, Args)]
pub struct Filter {
    /// Only those after this position
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    pub after: Option<u64>,
    /// Only those of this stream, such as container/ID
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Only those about this container
    #[arg(long, value_name = "NAME", add = complete::containers())]
    container: Option<String>,
    /// Only those of this operation
    #[arg(long, value_name = "ID", add = complete::operations())]
    operation: Option<String>,
    /// Only those of this kind; a quoted pattern fits several ('*Failed')
    #[arg(long, value_name = "PATTERN")]
    kind: Option<String>,
    /// Only those by this user or schedule
    #[arg(long, value_name = "WHO")]
    who: Option<String>,
    /// Only those since then: a time (2026-11-20 08:00, or RFC 3339) or a span ago (6h)
    #[arg(long, value_name = "TIME|SPAN", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only those until then
    #[arg(long, value_name = "TIME|SPAN", allow_hyphen_values = true)]
    until: Option<String>,
}

impl Filter {
    /// Adds the questions to a target.
    pub fn on(&self, target: Target, now: Timestamp) -> Target {
        let moment = |text: &Option<String>| text.as_ref().map(|text| with_zone(text, now));
        target
            .query_if("after", self.after)
            .query_if("stream", self.stream.as_ref())
            .query_if("container", self.container.as_ref())
            .query_if("operation", self.operation.as_ref())
            .query_if("kind", self.kind.as_ref())
            .query_if("who", self.who.as_ref())
            .query_if("since", moment(&self.since))
            .query_if("until", moment(&self.until))
    }
}
