//! "Did you mean": the word a person most likely meant. Tests: those of who asks.

/// The candidate a person most likely meant.
pub fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    // The distance costs length x length; no key is that long.
    if text.len() > 64 {
        return None;
    }
    let lower = text.to_lowercase().replace('-', "_");
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.replace('-', "_")), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min()
        .map(|(_, candidate)| candidate)
}
