//! Query parameters and their validation.

use std::str::FromStr;

use jiff::Timestamp;
use url::form_urlencoded;

use super::answer::Answer;
use crate::gitlab::model::Status;

/// The decoded parameters of a request.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(raw: &str) -> Self {
        Self(
            form_urlencoded::parse(raw.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A list, written as `name[]=a&name[]=b` or, for one value, `name=a`.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let is_item = |key: &str| key == name || key.strip_suffix("[]") == Some(name);
        self.0
            .iter()
            .filter(|(key, _)| is_item(key))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1" | "t" | "on"))
    }

    /// A value that must parse.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Answer> {
        let parsed = self.get(name).map(T::from_str).transpose();
        parsed.map_err(|_| Answer::error(400, &format!("{name} is invalid")))
    }

    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Answer> {
        self.parsed(name)
    }

    /// A value from a fixed list.
    pub fn word<'a>(
        &'a self,
        name: &str,
        words: &[&str],
        default: &'a str,
    ) -> Result<&'a str, Answer> {
        match self.get(name) {
            None => Ok(default),
            Some(word) if words.contains(&word) => Ok(word),
            Some(_) => Err(not_a_value(name)),
        }
    }

    pub fn statuses(&self, name: &str) -> Result<Vec<Status>, Answer> {
        self.list(name)
            .into_iter()
            .map(|word| word.parse().map_err(|()| not_a_value(name)))
            .collect()
    }

    /// The parameters with some replaced, as a query string.
    pub fn replaced(&self, with: &[(&str, String)]) -> String {
        let kept = self
            .0
            .iter()
            .filter(|(key, _)| !with.iter().any(|(name, _)| name == key));
        let kept = kept.filter(|(key, _)| key != "private_token" && key != "access_token");
        let mut out = form_urlencoded::Serializer::new(String::new());
        out.extend_pairs(kept);
        out.extend_pairs(with);
        out.finish()
    }
}

pub fn not_a_value(name: &str) -> Answer {
    Answer::error(400, &format!("{name} does not have a valid value"))
}
