//! Reads with the daemon down: the same questions as the API's, answered from the recorded state for those who may
//! read it. What only a daemon knows (use, next runs, logs, files of backups, keys) is not answered here.

use serde::Serialize;
use serde_json::Value;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Recorded;
use super::read::Answer;
use crate::api::client::{Target, node_status};
use crate::api::resources::ListEnvelope;
use crate::projections::query::{
    BackupFilter, ContainerFilter, EventFilter, MaintenanceFilter, Moment, OPERATION_PAGE, OperationFilter, Query,
    QueryError,
};
use crate::types::{Label, Position, Timestamp};

/// Is an answer, or nothing where the question is not one for the recorded state.
type Found = Result<Option<Value>, Failure>;

/// Answers a read from the recorded state; nothing where that read needs a daemon, or there is no state for this user.
pub fn answer(context: &Context<'_>, target: &Target) -> Option<Result<Answer, Failure>> {
    let query = match Query::open(&context.state) {
        Ok(query) => query,
        Err(error) if error.is_refusal() => return Some(Err(unreadable(context, error))),
        Err(_) => return None,
    };
    let now = context.ports.clock.now();
    let moment = query.moment(target.value("as_of"), now).map_err(Failure::from);
    let found = moment.and_then(|moment| Desk { query: &query, target, moment, now }.answer());
    let recorded = Some(recorded(&query));
    found.map(|value| value.map(|value| Answer { value, recorded })).transpose()
}

/// A daemon would not start on this state either: to say that none runs would send the user the wrong way.
fn unreadable(context: &Context<'_>, error: QueryError) -> Failure {
    let damaged = error.is_damage();
    let failure = Failure::from(error);
    if damaged { failure.hinted(context.command("audit verify")) } else { failure }
}

/// A daemon that ended in order has said so; of one that was killed, the last event is the last sign of life.
fn recorded(query: &Query) -> Recorded {
    let stopped_at = query.node(Moment::Now).ok().flatten().and_then(|node| node.stopped_at);
    let last_event = query.as_of(Moment::Now).ok().and_then(|head| head.time);
    Recorded { stopped_at, last_event }
}

/// Is one question on its way to its answer.
struct Desk<'a> {
    query: &'a Query,
    target: &'a Target,
    moment: Moment,
    now: Timestamp,
}

impl Desk<'_> {
    fn answer(&self) -> Found {
        let (query, moment) = (self.query, self.moment);
        let all = self.is_set("all");
        match self.target.segments().as_slice() {
            ["v1", "node"] => one(node_status(query, moment)),
            ["v1", "containers"] => self.list("container", query.containers(&self.containers()?, moment)),
            ["v1", "containers", name] => one(query.container(name, moment)),
            ["v1", "containers", name, "history"] => {
                let container = query.container(name, moment)?.id;
                self.list("event", query.history(container, moment))
            }
            ["v1", "templates"] => self.list("template", query.templates(all, moment)),
            ["v1", "templates", name] => one(query.template(name, moment)),
            ["v1", "networks"] => self.list("network", query.networks(all, moment)),
            ["v1", "networks", name] => one(query.network(name, moment)),
            ["v1", "stores"] => self.list("store", query.stores(all, moment)),
            ["v1", "stores", name] => one(query.store(name, moment)),
            ["v1", "schedules"] => self.list("schedule", query.schedules(all, moment)),
            ["v1", "schedules", name] => one(query.schedule(name, moment)),
            ["v1", "coverage"] => self.list("coverage", query.coverage(self.now, moment)),
            _ => self.records(),
        }
    }

    /// Answers about what is a record itself: backups, runs, operations, events.
    fn records(&self) -> Found {
        let (query, moment) = (self.query, self.moment);
        match self.target.segments().as_slice() {
            ["v1", "backups"] => self.list("backup", query.backups(&self.backups()?, moment)),
            ["v1", "backups", reference] => one(query.backup(reference, moment)),
            ["v1", "maintenance"] => self.list("maintenance", query.maintenance(&self.maintenance()?, moment)),
            ["v1", "operations"] => {
                let limit = Some(self.limit()?.unwrap_or(OPERATION_PAGE));
                let filter = OperationFilter { open: self.is_set("open"), target: None, limit };
                self.list("operation", query.operations(&filter, moment))
            }
            ["v1", "operations", reference] => one(query.operation(reference, moment)),
            ["v1", "events"] => self.list("event", query.events(&self.events()?, moment)),
            ["v1", "events", position] => one(query.event(Position::new(number(position)?))),
            _ => Ok(None),
        }
    }

    fn list<T: Serialize>(&self, noun: &str, rows: Result<Vec<T>, QueryError>) -> Found {
        let schema = format!("berth.{noun}.list/v1");
        one(Ok(ListEnvelope { schema, as_of: self.query.as_of(self.moment)?, items: rows? }))
    }

    fn containers(&self) -> Result<ContainerFilter, Failure> {
        let template = self.target.value("template").map(|name| self.query.template(name, self.moment)).transpose()?;
        let labels = self.target.value("label").into_iter().flat_map(|labels| labels.split(',')).map(|text| {
            let label: Label = text.parse().map_err(|error| Failure::usage("usage.label", format!("{error}")))?;
            Ok((label.key.to_string(), label.value.to_string()))
        });
        Ok(ContainerFilter {
            states: self.target.value("state").map(str::to_owned).into_iter().collect(),
            template: template.map(|template| template.id),
            labels: labels.collect::<Result<_, Failure>>()?,
            name: self.target.value("name").map(str::to_owned),
            all: self.is_set("all"),
        })
    }

    fn container(&self) -> Result<Option<crate::types::ContainerId>, Failure> {
        let found = self.target.value("container").map(|name| self.query.container(name, self.moment)).transpose()?;
        Ok(found.map(|row| row.id))
    }

    fn backups(&self) -> Result<BackupFilter, Failure> {
        let store = self.target.value("store").map(|name| self.query.store(name, self.moment)).transpose()?;
        Ok(BackupFilter { container: self.container()?, store: store.map(|row| row.id), limit: self.limit()? })
    }

    fn maintenance(&self) -> Result<MaintenanceFilter, Failure> {
        let action = self.target.value("action").map(str::to_owned);
        Ok(MaintenanceFilter { container: self.container()?, action, limit: self.limit()? })
    }

    fn events(&self) -> Result<EventFilter, Failure> {
        let instant = |key| self.target.value(key).map(|text| self.query.instant(text, self.now)).transpose();
        let operation = self.target.value("operation").map(|id| self.query.operation(id, self.moment)).transpose()?;
        let stream = self.target.value("stream").map(str::parse).transpose();
        Ok(EventFilter {
            after: self.target.value("after").map(number).transpose()?.map(Position::new),
            limit: self.limit()?,
            stream: stream.map_err(|error| Failure::usage("usage.stream", format!("{error}")))?,
            container: self.container()?,
            operation: operation.map(|row| row.id),
            kind: self.target.value("kind").map(str::to_owned),
            who: self.target.value("who").map(str::to_owned),
            since: instant("since")?,
            until: instant("until")?,
        })
    }

    fn limit(&self) -> Result<Option<usize>, Failure> {
        let limit = self.target.value("limit").map(number).transpose()?;
        Ok(limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }

    fn is_set(&self, key: &str) -> bool {
        self.target.value(key) == Some("true")
    }
}

fn one<T: Serialize>(row: Result<T, QueryError>) -> Found {
    let value = serde_json::to_value(row?);
    value.map(Some).map_err(|error| Failure::new(Exit::Failed, "query.row", error.to_string()))
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::usage("usage.number", format!("{text:?} is no number")))
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let (message, hint) = (error.to_string(), error.hint());
        let word = |noun: &str| noun.replace(' ', "-");
        let failure = match error {
            QueryError::NotFound { noun, .. } => {
                Self::new(Exit::NotFound, &format!("{}.not-found", word(noun)), message)
            }
            QueryError::Purged { .. } => Self::new(Exit::NotFound, "container.purged", message),
            QueryError::Ambiguous { noun, .. } => {
                Self::new(Exit::Conflict, &format!("{}.ambiguous", word(noun)), message)
            }
            QueryError::Moment { .. } | QueryError::Future { .. } => Self::usage("moment.invalid", message),
            QueryError::TooMany { .. } => Self::usage("limit.invalid", message),
            QueryError::Read(_) | QueryError::Row { .. } => Self::new(Exit::Failed, "log.unreadable", message),
        };
        match hint {
            Some(hint) => failure.hinted(hint),
            None => failure,
        }
    }
}
