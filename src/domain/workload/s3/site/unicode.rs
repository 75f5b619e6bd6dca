//! Text that looks the same with different bytes: `é` is one character in Unicode's form NFC and two in NFD,
//! which macOS uses for names. To S3 they are different keys.

use icu_normalizer::ComposingNormalizerBorrowed;

/// Whether both are the same text, whatever their Unicode forms.
pub(super) fn is_same_text(one: &str, other: &str) -> bool {
    let composed = ComposingNormalizerBorrowed::new_nfc();
    composed.normalize(one) == composed.normalize(other)
}

/// Whether a text is in form NFC, as usual in typed text and links.
pub(super) fn is_composed(text: &str) -> bool {
    ComposingNormalizerBorrowed::new_nfc().is_normalized(text)
}

/// The text with non-ASCII characters escaped, such as `\u{301}`.
pub(super) fn escaped(text: &str) -> String {
    let escape = |c: char| {
        if c.is_ascii() {
            c.to_string()
        } else {
            c.escape_unicode().to_string()
        }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_forms_of_one_text_are_the_same_text() {
        assert!(is_same_text("caf\u{e9}", "cafe\u{301}"));
        assert!(!is_same_text("caf\u{e9}", "cafe"));
        assert!(is_composed("caf\u{e9}") && !is_composed("cafe\u{301}"));
        assert_eq!(escaped("cafe\u{301}"), "cafe\\u{301}");
    }
}
