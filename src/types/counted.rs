//! Counts with their nouns.

/// Returns a count with its noun, in the singular for one.
pub fn counted(count: impl Into<u64>, one: &str, many: &str) -> String {
    match count.into() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular() {
        let told = [0_u64, 1, 2].map(|count| counted(count, "address", "addresses"));
        assert_eq!(told, ["0 addresses", "1 address", "2 addresses"]);
    }
}
