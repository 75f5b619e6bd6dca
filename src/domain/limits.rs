//! The limits of AWS for names, sizes and characters, each with its source.
//!
//! # Guarantees
//! - This is the only table. By it, [`super::desired`] checks the desired state of each Target, after
//!   substitution. The rules of the custom resources repeat the limits that can be checked before that, and
//!   a test here compares their numbers with these.
//! - Nothing here is stricter than AWS: a value that AWS accepts is never refused.
//!
//! Each function returns the message for a value that AWS refuses, without the value's field.

use std::collections::BTreeMap;

mod table;

pub use self::table::{
    ALIAS, BUCKET, DESCRIPTION, ENVIRONMENT, FUNCTION_NAME, KEY, PARAMETER_VALUE, PARAMETERS,
    RESERVED_VARIABLES, RESOURCES, ROLE_NAME, ROLE_PATH, STACK_NAME, TAG_KEY, TAG_VALUE, TAGS,
    TEMPLATE,
};

/// Prefixes that a bucket's name must not have (same source as [`BUCKET`]).
const BUCKET_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];

/// Suffixes that a bucket's name must not have, because access points and other kinds of bucket have them
/// (same source as [`BUCKET`]).
const BUCKET_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

/// Why this is not a valid function name. ARNs are refused: they could point to another account or region.
pub fn function_name(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let fits = (1..=FUNCTION_NAME).contains(&name.len()) && name.chars().all(allowed);
    (!fits).then(|| {
        format!(
            "{name:?} is not a valid function name: 1 to {FUNCTION_NAME} letters, digits, - and _; this has \
             {} characters",
            name.chars().count()
        )
    })
}

/// Why this is not a valid description.
pub fn description(text: &str) -> Option<String> {
    let length = text.chars().count();
    (length > DESCRIPTION).then(|| {
        format!("it has {length} characters, and Lambda allows at most {DESCRIPTION}: shorten it")
    })
}

/// Why Lambda would refuse these environment variables.
pub fn environment(variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems = Vec::new();
    let reserved: Vec<&str> = (variables.keys().map(String::as_str))
        .filter(|name| RESERVED_VARIABLES.contains(name))
        .collect();
    if !reserved.is_empty() {
        problems.push(format!(
            "Lambda sets {} itself: remove the reserved variables",
            reserved.join(", ")
        ));
    }
    let size = serde_json::to_vec(variables).map_or(usize::MAX, |json| json.len());
    if size > ENVIRONMENT {
        problems.push(format!(
            "the variables have {size} bytes as JSON, and Lambda allows at most {ENVIRONMENT}: keep long \
             values in Secrets Manager, Parameter Store or the package"
        ));
    }
    problems
}

/// Why AWS would refuse these tags: the user's `own`, in addition to `others` of ours.
pub fn tags(own: &BTreeMap<String, String>, others: usize) -> Vec<String> {
    let mut problems: Vec<String> = own
        .iter()
        .filter_map(|(key, value)| Some(format!("{key:?}: {}", tag(key, value)?)))
        .collect();
    if own.len() + others > TAGS {
        problems.push(format!(
            "there are {} tags, {others} of Sluice's among them, and AWS allows at most {TAGS}",
            own.len() + others
        ));
    }
    problems
}

fn tag(key: &str, value: &str) -> Option<String> {
    let too_long = |what: &str, text: &str, limit: usize| {
        let length = text.chars().count();
        (length > limit)
            .then(|| format!("the {what} has {length} characters, and AWS allows at most {limit}"))
    };
    if key.is_empty() {
        return Some("a tag needs a key".to_owned());
    }
    let reserved = |text: &str| {
        text.get(..4)
            .is_some_and(|it| it.eq_ignore_ascii_case("aws:"))
    };
    if reserved(key) || reserved(value) {
        return Some("the prefix aws: is reserved by AWS".to_owned());
    }
    let invalid = |text: &str| text.chars().find(|c| !is_tag_character(*c));
    if let Some(invalid) = invalid(key).or_else(|| invalid(value)) {
        return Some(format!(
            "{invalid:?} is not allowed in tags: use letters, digits, spaces and _ . : / = + - @"
        ));
    }
    too_long("key", key, TAG_KEY).or_else(|| too_long("value", value, TAG_VALUE))
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`: the characters that every API that Sluice calls accepts.
fn is_tag_character(c: char) -> bool {
    let separator = c.is_whitespace() && !c.is_control();
    c.is_alphanumeric() || separator || "_.:/=+-@".contains(c)
}

/// Why this is not a valid role name, given with its path and without the leading slash.
pub fn role(name_with_path: &str) -> Option<String> {
    let (path, name) = name_with_path
        .rsplit_once('/')
        .unwrap_or(("", name_with_path));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let in_path = |c: char| ('!'..='~').contains(&c);
    let fits = (1..=ROLE_NAME).contains(&name.len())
        && name.chars().all(allowed)
        && path.len() + 2 <= ROLE_PATH
        && !name_with_path.starts_with('/')
        && path.chars().all(in_path);
    (!fits).then(|| {
        format!(
            "{name_with_path:?} is not a role: its name has 1 to {ROLE_NAME} letters, digits and _+=,.@-, \
             this has {} characters",
            name.chars().count()
        )
    })
}

/// Why this is not a valid stack name. ARNs are refused: they could point to another stack of that name.
pub fn stack_name(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fits = (1..=STACK_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(allowed);
    (!fits).then(|| {
        format!(
            "{name:?} is not a valid stack name: 1 to {STACK_NAME} letters, digits and -, beginning with a letter; \
             this has {} characters",
            name.chars().count()
        )
    })
}

/// Why CloudFormation would refuse these parameters.
pub fn parameters(parameters: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems = Vec::new();
    if parameters.len() > PARAMETERS {
        problems.push(format!(
            "there are {} parameters, and CloudFormation allows at most {PARAMETERS}",
            parameters.len()
        ));
    }
    let long = parameters
        .iter()
        .filter(|(_, value)| value.len() > PARAMETER_VALUE);
    problems.extend(long.map(|(name, value)| {
        format!(
            "the value of {name} has {} bytes, and CloudFormation allows at most {PARAMETER_VALUE}",
            value.len()
        )
    }));
    problems
}

/// Why this is not a valid bucket name.
pub fn bucket(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !BUCKET.contains(&name.len())
        || !name.chars().all(allowed)
        || !name.starts_with(outer)
        || !name.ends_with(outer)
    {
        return Some(format!(
            "{name:?} is not a valid bucket name: {} to {} lower-case letters, digits, . and -, between \
             letters or digits; this has {} characters",
            BUCKET.start(),
            BUCKET.end(),
            name.chars().count()
        ));
    }
    if name.contains("..") || name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Some(format!(
            "{name:?} is not a valid bucket name: it must not have two adjacent dots or be an IP address"
        ));
    }
    let begins = BUCKET_PREFIXES.iter().find(|it| name.starts_with(**it));
    let ends = BUCKET_SUFFIXES.iter().find(|it| name.ends_with(**it));
    let reserved = begins.or(ends)?;
    Some(format!(
        "{name:?} is not a valid name of a general purpose bucket: S3 reserves {reserved}"
    ))
}

#[cfg(test)]
mod tests;
