//! "Did you mean": the nearest known name.

/// The candidate nearest to `word`, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + word.len() / 4;
    // At least as many letters differ as one is longer than the other, which is sooner known.
    let may_be_near = |candidate: &&str| {
        let differ = candidate.len().abs_diff(word.len());
        differ <= limit && differ < candidate.len()
    };
    candidates
        .into_iter()
        .filter(may_be_near)
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn swapped_letters_are_recognised_and_strangers_are_not() {
        let names = ["balance", "bind", "timeout client"];
        assert_eq!(nearest("balacne", names), Some("balance"));
        assert_eq!(nearest("timout client", names), Some("timeout client"));
        assert_eq!(nearest("zebra", names), None);
    }
}
