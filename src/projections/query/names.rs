//! Names in place of ids: what a thing or a stream is called, and texts that name streams.

use std::collections::HashMap;
use std::fmt::Display;

use rusqlite::OptionalExtension as _;

use super::{Moment, Named, Query, QueryError};
use crate::projections::model::Model;
use crate::projections::rows::ContainerState;
use crate::storage::table_of;
use crate::types::{Category, Name, StreamName};

/// Is what the things of one kind are called, by id.
pub(super) struct Names(HashMap<String, Name>);

impl Names {
    /// Returns the name of one of them.
    pub(super) fn of(&self, id: impl Display) -> Option<Name> {
        self.0.get(&id.to_string()).cloned()
    }
}

impl Query {
    /// Returns the name that each thing of a kind had at a moment; present ones are read without the rest of their rows.
    pub(super) fn names<M: Model<Row: Named>>(&self, moment: Moment) -> Result<Names, QueryError> {
        if let Moment::At(_) = moment {
            let named = |row: M::Row| Some((row.id(), row.name()?.clone()));
            return Ok(Names(self.all::<M>(moment)?.into_iter().filter_map(named).collect()));
        }
        let sql = format!("SELECT key, name FROM {}", table_of(M::NAME));
        let found: Vec<(String, String)> = self.reader.query(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })?;
        Ok(Names(found.into_iter().filter_map(|(id, name)| Some((id, name.parse().ok()?))).collect()))
    }

    /// Returns the name that one thing had at a moment.
    pub(super) fn name_of<M: Model<Row: Named>>(
        &self,
        id: impl Display,
        moment: Moment,
    ) -> Result<Option<Name>, QueryError> {
        Ok(self.one::<M>(&id.to_string(), moment)?.and_then(|row| row.name().cloned()))
    }

    /// Returns the present name of the thing that a stream tells about; of a session or a run, of what it is about.
    pub(super) fn thing_name(&self, stream: &StreamName) -> Result<Option<Name>, QueryError> {
        let model = match stream.category() {
            Category::Container => "containers",
            Category::Template => "templates",
            Category::Network => "networks",
            Category::Store => "stores",
            Category::Schedule => "schedules",
            Category::Batch => return self.schedule_behind(stream),
            Category::Session | Category::BackupJob | Category::RestoreJob | Category::Maintenance => {
                return self.name_of_target(stream);
            }
            _ => return Ok(None),
        };
        let name = self.text(&format!("SELECT name FROM {} WHERE key = ?1", table_of(model)), stream.key())?;
        Ok(name.and_then(|name| name.parse().ok()))
    }

    /// A batch is called by the schedule that it belongs to.
    fn schedule_behind(&self, batch: &StreamName) -> Result<Option<Name>, QueryError> {
        let sql = format!(
            "SELECT row ->> '$.schedule' FROM {} WHERE key = ?1 AND row ->> '$.schedule' IS NOT NULL",
            table_of("batches")
        );
        Ok(self.text(&sql, batch.key())?.and_then(|name| name.parse().ok()))
    }

    fn name_of_target(&self, stream: &StreamName) -> Result<Option<Name>, QueryError> {
        let sql =
            format!("SELECT target FROM {} WHERE stream = ?1 AND target IS NOT NULL LIMIT 1", table_of("operations"));
        let target = self.text(&sql, &stream.to_string())?.and_then(|target| target.parse::<StreamName>().ok());
        match target.filter(|target| target.category() != stream.category()) {
            Some(target) => self.thing_name(&target),
            None => Ok(None),
        }
    }

    fn text(&self, sql: &str, key: &str) -> Result<Option<String>, QueryError> {
        Ok(self.reader.query(|c| c.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional())?)
    }

    /// Puts names where a text says streams: `container/byo3…` becomes `container web1`. What has no name stays.
    pub fn by_name(&self, text: &str) -> String {
        let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '/' | '-');
        let mut told = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            let (word, after) = from.split_at(from.find(|character| !is_part(character)).unwrap_or(from.len()));
            told.push_str(before);
            told.push_str(&self.word_by_name(word).unwrap_or_else(|| word.to_owned()));
            rest = after;
        }
        told + rest
    }

    fn word_by_name(&self, word: &str) -> Option<String> {
        let stream = word.parse::<StreamName>().ok()?;
        let name = self.thing_name(&stream).ok()??;
        let deleted = if self.is_buried(&stream) { "deleted " } else { "" };
        Some(format!("{deleted}{} {name}", stream.category()))
    }

    fn is_buried(&self, stream: &StreamName) -> bool {
        let sql = format!("SELECT row ->> '$.rest' FROM {} WHERE key = ?1", table_of("containers"));
        let rest = (stream.category() == Category::Container).then(|| self.text(&sql, stream.key()).ok().flatten());
        rest.flatten().as_deref() == Some(ContainerState::Deleted.as_str())
    }
}
