//! What makes a text unfit to be a client id or a client secret.

use std::ops::RangeInclusive;

/// What makes it unfit to be a client id or a client secret.
pub(crate) fn problem(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some("is empty");
    }
    if value.chars().any(char::is_control) {
        return Some("holds a control character; was it read from a file with its line end?");
    }
    if value.chars().any(is_invisible) {
        return Some(
            "holds an invisible character, such as a byte-order mark, a zero-width or a non-breaking space, or a line end of \
             Unicode; type it anew, or copy it from a plain text",
        );
    }
    (value.starts_with(' ') || value.ends_with(' ')).then_some("begins or ends with a blank; remove it")
}

/// Beyond ASCII: blanks, format characters and fillers, which documents and chat programs add to a copied text.
fn is_invisible(character: char) -> bool {
    let is_blank = character.is_whitespace() && character != ' ';
    is_blank || INVISIBLE.iter().any(|range| range.contains(&character))
}

/// Whether the text may have been copied with the quotation marks around it.
pub(crate) fn is_quoted(text: &str) -> bool {
    text.starts_with(QUOTES) || text.ends_with(QUOTES)
}

/// Characters that are drawn as nothing (Unicode's `Default_Ignorable_Code_Point`, and those of the category `Cf` beside
/// them), and a blank pattern of Braille.
const INVISIBLE: [RangeInclusive<char>; 19] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];
const QUOTES: [char; 11] =
    ['"', '\'', '`', '\u{ab}', '\u{bb}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201c}', '\u{201d}', '\u{201e}'];
