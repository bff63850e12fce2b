//! JSON documents as YAML 1.2: the same values in blocks.
//!
//! Scalars stay as JSON writes them, which YAML reads the same way (YAML 1.2.2 section 1.2): no word turns into a
//! number or a truth value by accident.

use serde_json::Value;

use super::json;

/// Returns a document.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    if is_block(value) {
        block(value, 0, &mut text);
    } else {
        text.push_str(&json::line(value));
    }
    text
}

/// Lists and maps that have something in them take lines of their own.
fn is_block(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    }
}

/// Writes the lines of a value; the first one begins where the text ends.
fn block(value: &Value, indent: usize, text: &mut String) {
    let lines: Vec<(String, &Value)> = match value {
        Value::Array(items) => items.iter().map(|item| ("-".to_owned(), item)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (format!("{}:", word(key)), value)).collect(),
        _ => Vec::new(),
    };
    for (index, (head, value)) in lines.into_iter().enumerate() {
        if index > 0 {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&head);
        match (is_block(value), head.as_str()) {
            (false, _) => text.extend([" ", &json::line(value)]),
            (true, "-") => {
                text.push(' ');
                block(value, indent + 2, text);
            }
            (true, _) => {
                text.push('\n');
                text.push_str(&" ".repeat(indent + 2));
                block(value, indent + 2, text);
            }
        }
    }
}

/// A key that could be read as something else is quoted.
fn word(key: &str) -> String {
    let is_plain = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !matches!(key, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if is_plain { key.to_owned() } else { json::line(&Value::from(key)).trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_and_maps_become_blocks_and_scalars_keep_their_type() {
        let value = json!({
            "items": [{"name": "web1", "labels": {"on": "yes"}, "ports": []}, {"name": "0123", "up": null}],
            "lists": [[1, 2], [true]],
        });
        let expected = "items:\n  - labels:\n      \"on\": \"yes\"\n    name: \"web1\"\n    ports: []\n  - name: \"0123\"\n    up: null\n\
                        lists:\n  - - 1\n    - 2\n  - - true\n";
        assert_eq!(document(&value), expected);
        assert_eq!(document(&json!({})), "{}\n");
    }
}
