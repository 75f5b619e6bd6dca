//! Text that looks the same and has other bytes: `é` is one character in Unicode's form NFC and two in
//! NFD, as macOS writes names. To S3 they are different keys.

use icu_normalizer::ComposingNormalizerBorrowed;

/// Whether both are the same text, whatever their forms.
pub(super) fn is_same_text(one: &str, other: &str) -> bool {
    let composed = ComposingNormalizerBorrowed::new_nfc();
    composed.normalize(one) == composed.normalize(other)
}

/// Whether a text is in the form that people type and links have.
pub(super) fn is_composed(text: &str) -> bool {
    ComposingNormalizerBorrowed::new_nfc().is_normalized(text)
}

/// A text whose characters outside of ASCII are named by their numbers.
pub(super) fn escaped(text: &str) -> String {
    let shown = |c: char| {
        if c.is_ascii() {
            c.to_string()
        } else {
            c.escape_unicode().to_string()
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_text_are_the_same_text() {
        assert!(is_same_text("caf\u{e9}", "cafe\u{301}"));
        assert!(!is_same_text("caf\u{e9}", "cafe"));
        assert!(is_composed("caf\u{e9}") && !is_composed("cafe\u{301}"));
        assert_eq!(escaped("cafe\u{301}"), "cafe\\u{301}");
    }
}
