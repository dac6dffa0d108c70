//! The known word that somebody most likely meant.

/// The word nearest to `written`, if one is near enough to be meant: a few letters away, or the
/// only one that has `written` in it.
pub(super) fn nearest<'w>(
    written: &str,
    words: impl IntoIterator<Item = &'w str>,
) -> Option<&'w str> {
    let written = plain(written);
    let letters = written.chars().count();
    let allowed = (letters / 3).clamp(1, 3);
    let words: Vec<&str> = words.into_iter().collect();
    let near = words
        .iter()
        .map(|word| (distance(&written, &plain(word)), *word))
        .filter(|(distance, _)| *distance <= allowed && *distance < letters)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word);
    let mut holders = words
        .iter()
        .filter(|word| letters > 3 && plain(word).contains(&written));
    let only = holders.next().filter(|_| holders.next().is_none());
    near.or(only.copied())
}

/// True when `written` may be `word`, which is in lower-case letters, with a slip of the pen.
pub(super) fn is_near(written: &str, word: &str) -> bool {
    // Told apart by length first: this is asked for every name on every line.
    let (least, most) = (word.len().saturating_sub(3), word.len() + 5);
    if !(least..=most).contains(&written.len()) {
        return false;
    }
    let written = plain(written);
    let letters = written.len();
    let allowed = (letters / 3).clamp(1, 3);
    if letters.abs_diff(word.len()) > allowed {
        return false;
    }
    let distance = distance(&written, word);
    distance <= allowed && distance < letters
}

/// `clientId`, `Client-ID` and `client_id` are the same word.
fn plain(word: &str) -> String {
    // No key is longer; more would only cost time.
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .take(64)
        .flat_map(char::to_lowercase)
        .collect()
}

/// How many letters must be changed, added, left out or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, letter) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in b.iter().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&last, column) + usize::from(letter != *other);
            let added = at(&last, column + 1).min(at(&current, column)) + 1;
            let left = column.checked_sub(1);
            let swapped =
                left.filter(|left| previous == Some(*other) && b.get(*left) == Some(&letter));
            let swapped = swapped.map_or(usize::MAX, |left| at(&before_last, left) + 1);
            current.push(changed.min(added).min(swapped));
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(letter);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("abc", "acb", 1),
            ("issuer", "isuer", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let words = ["client_id", "client_secret", "scope", "path"];
        for (written, meant) in [
            ("clientId", Some("client_id")),
            ("client-secret", Some("client_secret")),
            ("scopes", Some("scope")),
            ("pth", Some("path")),
            ("hostname", None),
            ("secret", Some("client_secret")),
            ("client", Some("client_id")),
            ("", None),
        ] {
            assert_eq!(nearest(written, words), meant, "{written}");
        }
    }
}
