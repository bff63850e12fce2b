//! "Did you mean …?": finds the known word nearest to a mistyped one.
//!
//! The distance counts inserted, lost, changed and swapped neighbouring characters (optimal string alignment) and
//! ignores ASCII case. It knows no language and no context.

/// The longest word compared, in characters; a longer one is no typing mistake.
const WORD_LENGTH_MAX: usize = 64;

/// Returns the candidate nearest to `word`, if it is near enough for a typing mistake: one in three characters wrong.
///
/// Of equally near candidates the first is taken.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length == 0 || length > WORD_LENGTH_MAX {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(left: &str, right: &str) -> usize {
    let fold = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (left, right) = (fold(left), fold(right));
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut next = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let changed = usize::from(left[i - 1] != right[j - 1]);
            let mut least = (row[j] + 1).min(next[j - 1] + 1).min(row[j - 1] + changed);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next[j] = least;
        }
        before = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_should_find_the_word_that_was_meant() {
        let verbs = ["start", "stop", "restart", "delete", "ps"];
        for (typed, meant) in [("strat", "start"), ("STOP", "stop"), ("delet", "delete"), ("restrat", "restart")] {
            assert_eq!(suggest(typed, verbs), Some(meant), "{typed}");
        }
    }

    #[test]
    fn it_should_not_guess_at_random() {
        for typed in ["", "xyzzy", "migrate", &"a".repeat(1_000)] {
            assert_eq!(suggest(typed, ["start", "stop", "delete"]), None, "{typed}");
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric_and_zero_for_the_same(left in "[a-d]{0,8}", right in "[a-d]{0,8}") {
            prop_assert_eq!(distance(&left, &right), distance(&right, &left));
            prop_assert_eq!(distance(&left, &left), 0);
        }

        #[test]
        fn no_text_makes_it_panic(word in ".{0,80}", other in ".{0,80}") {
            let _ = suggest(&word, [other.as_str()]);
        }
    }
}
