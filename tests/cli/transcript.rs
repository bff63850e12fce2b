//! Reads transcripts and compares what was printed.

use super::daemon::Said;

/// Is one command with what it is to print.
#[derive(Debug, Default)]
pub struct Step {
    pub words: Vec<String>,
    expected: Vec<String>,
    code: i32,
}

/// Reads the steps of a transcript. Lines before the first command are remarks.
pub fn read(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let mut words = split(command);
            if words[0] == "berth" {
                words.remove(0);
            }
            steps.push(Step { words, ..Step::default() });
        } else if let Some(step) = steps.last_mut() {
            match line.strip_prefix("? ") {
                Some(code) => step.code = code.parse().unwrap(),
                None => step.expected.push(line.to_owned()),
            }
        }
    }
    steps
}

impl Step {
    /// Compares; says where they differ.
    pub fn check(&self, said: &Said) -> Result<(), String> {
        let printed: Vec<&str> = said.text.lines().map(str::trim_end).collect();
        let expected: Vec<&str> = self.expected.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
        if self.code == said.code && lines_fit(&expected, &printed) {
            return Ok(());
        }
        let (command, expected) = (self.words.join(" "), expected.join("\n"));
        Err(format!(
            "$ berth {command}\nexpected (exit {}):\n{expected}\nprinted (exit {}):\n{}",
            self.code, said.code, said.text
        ))
    }
}

fn lines_fit(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((&"...", rest)) => (0..=printed.len()).any(|skipped| lines_fit(rest, &printed[skipped..])),
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, others)| line_fits(first, line) && lines_fit(rest, others))
        }
    }
}

fn line_fits(expected: &str, printed: &str) -> bool {
    let Some((before, after)) = expected.split_once("[..]") else {
        return expected == printed;
    };
    let Some(rest) = printed.strip_prefix(before) else { return false };
    let starts = rest.char_indices().map(|(index, _)| index).chain([rest.len()]);
    starts.into_iter().any(|start| line_fits(after, &rest[start..]))
}

/// Splits a line into words as a shell does, quotes alone.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[test]
fn marks_stand_for_what_changes() {
    assert!(line_fits("web1: started in [..]s", "web1: started in 0.4s"));
    assert!(line_fits("[..]a[..]b", "xa ab"));
    assert!(!line_fits("web1: started in [..]s", "web1: stopped in 0.4s"));
    assert!(lines_fit(&["a", "...", "d"], &["a", "b", "c", "d"]));
    assert!(!lines_fit(&["a", "..."], &["b"]));
    assert_eq!(split("berth a 'b c' ''"), ["berth", "a", "b c", ""]);
}
