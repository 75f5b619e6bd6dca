//! The alarms in the rule of a composite alarm.
//!
//! This module reads only the necessary part of the rule's grammar:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html>.
//! A rule has names or ARNs of alarms, in quotes if the name has spaces, commas or parentheses.

/// Keywords of the grammar, which are not names of alarms.
const WORDS: [&str; 9] = [
    "ALARM",
    "OK",
    "INSUFFICIENT_DATA",
    "AND",
    "OR",
    "NOT",
    "TRUE",
    "FALSE",
    "AT_LEAST",
];

/// The names of the alarms in a rule, in order, without duplicates. A number or percentage without quotes
/// counts as the argument of `AT_LEAST`.
pub(super) fn alarms(rule: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = rule;
    while let Some(start) = rest.find(|c: char| !is_separator(c)) {
        rest = &rest[start..];
        let name = if let Some(quoted) = rest.strip_prefix('"') {
            let (name, after) = unquoted(quoted);
            rest = after;
            Some(name)
        } else {
            let end = rest.find(is_separator).unwrap_or(rest.len());
            let word = &rest[..end];
            rest = &rest[end..];
            let is_count = word
                .trim_end_matches('%')
                .chars()
                .all(|c| c.is_ascii_digit());
            (!WORDS.contains(&word) && !is_count).then(|| word.to_owned())
        };
        if let Some(name) = name.as_deref().map(by_name)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | ',')
}

/// The text before the closing quote, and the rest after it.
fn unquoted(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (name, &text[at + 1..]),
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            other => name.push(other),
        }
    }
    (name, "")
}

fn by_name(reference: &str) -> String {
    let of_arn = reference
        .strip_prefix("arn:")
        .and_then(|arn| arn.split_once(":alarm:"));
    of_arn.map_or(reference, |(_, name)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_of_a_rule_are_found_by_name_and_arn() {
        for (rule, names) in [
            ("ALARM(a)", vec!["a"]),
            ("ALARM(\"a b\") OR NOT OK(c)", vec!["a b", "c"]),
            (
                "(ALARM(\"x(1), \\\"y\\\"\") AND INSUFFICIENT_DATA(b)) OR ALARM(b)",
                vec!["x(1), \"y\"", "b"],
            ),
            (
                "ALARM(arn:aws:cloudwatch:eu-west-1:222222222222:alarm:a)",
                vec!["a"],
            ),
            (
                "AT_LEAST(50%, NOT OK, (a, \"b\", c)) AND TRUE",
                vec!["a", "b", "c"],
            ),
            ("ALARM(\"unclosed", vec!["unclosed"]),
            ("FALSE", vec![]),
        ] {
            assert_eq!(alarms(rule), names, "{rule}");
        }
    }
}
