//! Which containers a schedule is for, as users write it.

use std::collections::BTreeMap;

use crate::api::resources::Selection;
use crate::cli::failure::Failure;
use crate::types::Label;

/// Reads `all`, patterns of names, or labels that all have to be there; not a mixture.
///
/// # Errors
/// A mixture, or no label after `label:`.
pub fn selection(words: &[String]) -> Result<Selection, Failure> {
    if words == ["all"] {
        return Ok(Selection::All);
    }
    let labels = words.iter().filter_map(|word| word.strip_prefix("label:")).map(str::parse::<Label>);
    let labels: Vec<Label> =
        labels.collect::<Result<_, _>>().map_err(|error| Failure::usage("usage.label", error.to_string()))?;
    if labels.is_empty() && !words.iter().any(|word| word == "all") {
        words.iter().try_for_each(|word| check_pattern(word))?;
        return Ok(Selection::Names(words.to_vec()));
    }
    if labels.len() == words.len() {
        let labels = labels.into_iter().map(|label| (label.key.to_string(), label.value.to_string()));
        return Ok(Selection::Labels(labels.collect::<BTreeMap<_, _>>()));
    }
    Err(Failure::usage("usage.selection", "all, patterns and labels cannot be mixed in one schedule")
        .hinted("Make a schedule for each."))
}

/// Refuses what no name can fit, such as `name=web1`.
fn check_pattern(word: &str) -> Result<(), Failure> {
    let may_stand = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '*' | '?');
    if !word.is_empty() && word.chars().all(may_stand) {
        return Ok(());
    }
    Err(Failure::usage("usage.selection", format!("no container can have the name {word:?}"))
        .hinted("Write all, a name, a pattern such as 'web*', or label:KEY=VALUE."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_and_labels_are_told_apart() {
        let of = |words: &[&str]| selection(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["all"]).unwrap(), Selection::All);
        assert_eq!(of(&["web*", "db1"]).unwrap(), Selection::Names(vec!["web*".into(), "db1".into()]));
        let labels = BTreeMap::from([("tier".to_owned(), "db".to_owned())]);
        assert_eq!(of(&["label:tier=db"]).unwrap(), Selection::Labels(labels));
        for mixture in [&["all", "web*"][..], &["label:a=b", "web*"], &["label:nothing"], &["name=web1"], &[""]] {
            assert!(of(mixture).is_err(), "{mixture:?}");
        }
    }
}
