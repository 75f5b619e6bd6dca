//! Regular expressions of users, with errors in one line.
//!
//! The library's own error prints the expression over several lines with a marker below it. A condition, an
//! Event or a column of `kubectl get` shows only a part of that.

use regex::{Regex, RegexBuilder};
use regex_syntax::{
    Error,
    ast::{Position, Span},
};

/// The most characters of the expression that an error quotes as its location.
const SHOWN: usize = 40;

/// Compiles a regular expression to at most `limit` bytes. The error says which part of the expression is
/// wrong, and why.
pub fn compile(pattern: &str, limit: usize) -> Result<Regex, String> {
    let shown = quoted(pattern);
    let compiled = RegexBuilder::new(pattern).size_limit(limit).build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!(
            "{shown} is too large a regular expression: it takes more than {limit} bytes once it is compiled; \
             lower the counts in braces, such as {{1000}}"
        ),
        _ => format!(
            "{shown} is not a regular expression: {}",
            problem(pattern)
        ),
    })
}

/// The parser's error, and its location.
fn problem(pattern: &str) -> String {
    match regex_syntax::parse(pattern) {
        Err(Error::Parse(error)) => located(pattern, error.span(), &error.kind().to_string()),
        Err(Error::Translate(error)) => located(pattern, error.span(), &error.kind().to_string()),
        _ => "see https://docs.rs/regex/latest/regex/#syntax".to_owned(),
    }
}

fn located(pattern: &str, span: &Span, why: &str) -> String {
    let (start, end) = (span.start.offset, span.end.offset);
    let rest = pattern.get(start..).unwrap_or_default();
    // An empty span is a position: quote the character there.
    let next = rest
        .chars()
        .next()
        .map_or(start, |next| start + next.len_utf8());
    let part = pattern.get(start..end.max(next)).unwrap_or_default();
    let part: String = part.chars().take(SHOWN).collect();
    let at = character(pattern, span.start);
    let place = match part.as_str() {
        "" => format!("at character {at}"),
        part => format!("{} at character {at}", quoted(part)),
    };
    let unescaped = ["unclosed", "unopened", "missing expression"];
    let hint = if unescaped.iter().any(|word| why.contains(word)) {
        r"; to match such a character itself, put a \ before it, such as \( or \["
    } else {
        ""
    };
    format!("{place}: {why}{hint}")
}

/// The text in quotation marks and in one line, with unchanged backslashes.
fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.push('"');
    shown
}

/// The number of the character, from 1.
fn character(pattern: &str, position: Position) -> usize {
    let before = pattern.get(..position.offset).unwrap_or(pattern);
    before.chars().count() + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

    use super::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn invalid_regex_gets_a_one_line_error_with_location_and_reason() {
        for (pattern, part, why) in [
            (
                "^status: (ok|fine",
                "\"(\" at character 10",
                "unclosed group",
            ),
            ("[a-", "\"[\" at character 1", "unclosed character class"),
            (
                "*ok",
                "\"*\" at character 1",
                "repetition operator missing expression",
            ),
            (
                "é[z-a]",
                "\"z-a\" at character 3",
                "invalid character class range",
            ),
            (
                r"\q",
                "\"\\q\" at character 1",
                "unrecognized escape sequence",
            ),
            ("(?=ok)", "\"(?=\" at character 1", "look-around"),
            (
                r"\p{Klingon}",
                "\"\\p{Klingon}\" at character 1",
                "Unicode property not found",
            ),
        ] {
            let message = compile(pattern, LIMIT).unwrap_err();
            assert!(!message.contains('\n'), "{message}");
            assert!(
                message.starts_with(&format!("\"{pattern}\" is not")),
                "{message}"
            );
            assert!(message.contains(part), "{message}");
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn regex_above_the_size_limit_is_refused() {
        let message = compile("(a{1000}){1000}", LIMIT).unwrap_err();
        assert!(
            message.contains("too large a regular expression"),
            "{message}"
        );
        assert!(compile("^ok$", LIMIT).unwrap().is_match("ok"));
    }
}
