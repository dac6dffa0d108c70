//! Text from afar on its way to a person.

/// The longest text that is shown, in characters.
const LONGEST: usize = 200;

/// A text as it may stand in a message: one line, short, all of it plain.
pub(super) fn bearable(text: &str) -> String {
    let words = text.split_whitespace().flat_map(|word| [" ", word]);
    let plain = words.skip(1).flat_map(str::chars).filter(|c| is_plain(*c));
    plain.take(LONGEST).collect()
}

/// Whether a character neither controls a terminal nor hides what a text says: by turning the
/// direction of writing (Unicode UAX #9 §2) or by taking no room.
pub(super) fn is_plain(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let is_nothing = matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}');
    !c.is_control() && !turns && !is_nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_hides_is_left_out() {
        for (text, shown) in [
            ("as it is", "as it is"),
            (" two\r\n\tlines ", "two lines"),
            ("\u{1b}[31mred\u{7}", "[31mred"),
            ("a\u{202e}b\u{200b}c\u{feff}", "abc"),
            ("", ""),
        ] {
            assert_eq!(bearable(text), shown);
        }
        assert_eq!(bearable(&"ä".repeat(500)).chars().count(), LONGEST);
    }
}
