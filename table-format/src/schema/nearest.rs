//! The name that was probably meant.

/// Names longer than this are not compared: the work grows with the square of the length.
const CHARACTERS_MAX: usize = 128;

/// The candidate nearest to a name that does not exist, for a hint; none if all are too far off to be meant.
///
/// Distance counts inserted, deleted, replaced and swapped characters and ignores case. Up to a third of the name's
/// characters may be wrong, at least one. Of candidates equally near the first wins.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(name)?;
    let limit = (wanted.len() / 3).max(1);
    let distances = candidates.into_iter().filter_map(|candidate| {
        let folded = folded(candidate)?;
        // The difference in length is a lower bound of the distance.
        if folded.len().abs_diff(wanted.len()) > limit {
            return None;
        }
        Some((distance(&wanted, &folded), candidate))
    });
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= limit).then_some(candidate)
}

fn folded(name: &str) -> Option<Vec<char>> {
    let characters: Vec<char> = name.to_lowercase().chars().take(CHARACTERS_MAX + 1).collect();
    (characters.len() <= CHARACTERS_MAX).then_some(characters)
}

/// Optimal string alignment distance, keeping three rows of the table.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
