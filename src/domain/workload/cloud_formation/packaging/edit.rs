//! Writes locations in place of values.

use std::{collections::HashMap, ops::Range};

use serde_json::Value;

use super::{
    document::{Content, Document, Id},
    find::Found,
    local_path::Location,
    table::Shape,
};

/// How to replace a value.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The bytes of the value.
    value: Range<usize>,
    /// What to write.
    shape: Shape,
    /// What stays behind it: the comment of a block scalar, which stands before its text.
    comment: String,
    /// The bytes of a tag that says it is a string.
    tag: Option<Range<usize>>,
    /// The bytes of aliases that keep the former value, and that value.
    aliases: Vec<Range<usize>>,
    former: String,
}

impl Edit {
    /// How to replace each of these values.
    pub fn all(document: &Document, text: &str, found: &[Found]) -> Vec<Self> {
        let mut edits: Vec<Self> = found
            .iter()
            .map(|it| Self::of(document, text, it))
            .collect();
        let nodes = found.iter().enumerate();
        let indexes: HashMap<Id, usize> = nodes.map(|(index, it)| (it.node, index)).collect();
        for (id, node) in document.nodes.iter().enumerate() {
            if let Content::Alias(target) = node.content
                && let Some(index) = indexes.get(&target)
                && !indexes.contains_key(&id)
            {
                edits[*index].aliases.push(node.span.clone());
            }
        }
        edits
    }

    fn of(document: &Document, text: &str, found: &Found) -> Self {
        let node = &document.nodes[found.node];
        let (mut former, mut comment) = (String::new(), String::new());
        if let Content::Scalar(scalar) = &node.content {
            former.clone_from(&scalar.text);
            if scalar.is_block() {
                let first = text[node.span.clone()].lines().next().unwrap_or_default();
                let indicator = first.find(char::is_whitespace).unwrap_or(first.len());
                first[indicator..].trim_end().clone_into(&mut comment);
            }
        }
        Self {
            value: node.span.clone(),
            shape: found.shape,
            comment,
            tag: node.tag.clone(),
            aliases: Vec::new(),
            former,
        }
    }
}

/// The text with these values replaced.
pub fn apply<'e>(text: &str, edits: impl Iterator<Item = (&'e Edit, &'e Location)>) -> String {
    let mut pieces = Vec::new();
    for (edit, location) in edits {
        let value = format!("{}{}", written(edit.shape, location), edit.comment);
        pieces.push((edit.value.clone(), value));
        pieces.extend(edit.tag.clone().map(|tag| (tag, String::new())));
        for alias in &edit.aliases {
            pieces.push((alias.clone(), string(&edit.former)));
        }
    }
    pieces.sort_by_key(|(range, _)| range.start);
    let mut packaged = String::with_capacity(text.len() + 100 * pieces.len());
    let mut end = 0;
    for (range, piece) in pieces {
        packaged.push_str(&text[end..range.start]);
        packaged.push_str(&piece);
        end = range.end;
    }
    packaged.push_str(&text[end..]);
    packaged
}

/// A location in JSON, which is YAML of any context, too.
fn written(shape: Shape, location: &Location) -> String {
    let Location { bucket, key, url } = location;
    match shape {
        Shape::Uri => string(&format!("s3://{bucket}/{key}")),
        Shape::Url => string(url),
        Shape::Object(bucket_name, key_name) => format!(
            "{{{}: {}, {}: {}}}",
            string(bucket_name),
            string(bucket),
            string(key_name),
            string(key)
        ),
    }
}

fn string(text: &str) -> String {
    Value::from(text).to_string()
}
