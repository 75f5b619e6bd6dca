//! A template as nodes, each with its place in the text. Aliases stay aliases.

use std::{collections::HashMap, ops::Range};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

/// How deep a template may nest.
pub const DEPTH: usize = 100;

/// The functions that may be called by a tag, such as `!Transform`.
pub const FUNCTIONS: [&str; 2] = [TRANSFORM, FIND_IN_MAP];
/// The short name of `Fn::Transform`.
pub const TRANSFORM: &str = "Transform";
/// The short name of `Fn::FindInMap`.
pub const FIND_IN_MAP: &str = "FindInMap";

/// A node, by its position in [`Document::nodes`].
pub type Id = usize;

/// A text read as one YAML document. JSON is YAML, too.
#[derive(Debug)]
pub struct Document {
    /// The nodes, in the order in which they begin; the first is the root.
    pub nodes: Vec<Node>,
}

/// A part of the text.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub content: Content,
    /// Its bytes, without tag and anchor; of collections, only the beginning.
    pub span: Range<usize>,
    /// The bytes of its tag.
    pub tag: Option<Range<usize>>,
    /// The function that its tag calls, if it is one of those that matter here.
    pub function: Option<&'static str>,
    /// The line of its content, from 1.
    pub line: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Content {
    /// A string, or a value that is not one.
    Scalar(Scalar),
    /// Stands for this node.
    Alias(Id),
    /// Keys and values, in order.
    Mapping(Vec<(Id, Id)>),
    /// Items, in order.
    Sequence(Vec<Id>),
}

/// A scalar.
#[derive(Debug)]
pub struct Scalar {
    /// Its text, without quotes and escapes.
    pub text: String,
    /// Whether it is a string for CloudFormation: not null, a number, a boolean, or with a tag such as `!Sub`.
    pub is_string: bool,
    /// How it is written.
    pub style: ScalarStyle,
}

impl Scalar {
    /// Whether it is written in lines of its own, after `|` or `>`.
    pub fn is_block(&self) -> bool {
        matches!(self.style, ScalarStyle::Literal | ScalarStyle::Folded)
    }
}

impl Document {
    /// Reads a text; `None` if it isn't one document of bounded depth.
    pub fn parse(text: &str) -> Option<Self> {
        let mut options = Options::default();
        // There is a limit to how many comments may follow each other, if they are reported.
        options.set_emit_comments(false);
        let mut builder = Builder {
            text,
            nodes: Vec::new(),
            anchors: HashMap::new(),
            open: Vec::new(),
            documents: 0,
            end: 0,
        };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.ok()?;
            builder.take(event, span)?;
        }
        (!builder.nodes.is_empty()).then_some(Self {
            nodes: builder.nodes,
        })
    }

    /// The node, or the one that it stands for.
    pub fn resolved(&self, id: Id) -> &Node {
        let node = &self.nodes[id];
        match node.content {
            // An anchor can't name an alias.
            Content::Alias(target) => &self.nodes[target],
            _ => node,
        }
    }

    /// The scalar, also by an alias.
    pub fn scalar(&self, id: Id) -> Option<&Scalar> {
        match &self.resolved(id).content {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub fn text(&self, id: Id) -> Option<&str> {
        Some(&self.scalar(id)?.text)
    }

    /// The keys and values of a mapping, without merges; none of anything else.
    pub fn entries(&self, id: Id) -> &[(Id, Id)] {
        match &self.resolved(id).content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; none of anything else.
    pub fn items(&self, id: Id) -> &[Id] {
        match &self.resolved(id).content {
            Content::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Whether this key merges other mappings.
    pub fn is_merge(&self, key: Id) -> bool {
        match &self.nodes[key].content {
            Content::Scalar(key) => key.style == ScalarStyle::Plain && key.text == "<<",
            _ => false,
        }
    }
}

struct Builder<'t> {
    text: &'t str,
    nodes: Vec<Node>,
    anchors: HashMap<usize, Id>,
    open: Vec<Open>,
    documents: usize,
    /// Where the previous event ended.
    end: usize,
}

/// A collection that has not ended, and a key of it that has no value yet.
struct Open {
    id: Id,
    key: Option<Id>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return None;
                }
            }
            Event::Alias(anchor) => {
                let target = *self.anchors.get(&anchor)?;
                self.add(Content::Alias(target), span, 0)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = Scalar {
                    is_string: is_string(&text, style, tag.as_deref()),
                    text: text.into_owned(),
                    style,
                };
                self.add(Content::Scalar(scalar), span, anchor)?;
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(Content::Mapping(Vec::new()), span, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(Content::Sequence(Vec::new()), span, anchor)?;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop()?;
            }
            _ => {}
        }
        self.end = span.end.byte_offset()?;
        Some(())
    }

    fn open(&mut self, content: Content, span: Span, anchor: usize) -> Option<()> {
        let id = self.add(content, span, anchor)?;
        self.open.push(Open { id, key: None });
        (self.open.len() <= DEPTH).then_some(())
    }

    fn add(&mut self, mut content: Content, span: Span, anchor: usize) -> Option<Id> {
        let id = self.nodes.len();
        let tag = match span.tag_span() {
            Some(tag) => Some(bytes(tag)?),
            None => None,
        };
        let mut range = bytes(span)?;
        if let Content::Scalar(scalar) = &mut content
            && scalar.is_block()
        {
            match self.block(&range) {
                Some(whole) => range = whole,
                // Without its beginning it can't be replaced.
                None => scalar.is_string = false,
            }
        }
        let tag_text = tag.clone().and_then(|tag| self.text.get(tag));
        let function = tag_text.and_then(|tag| tag.strip_prefix('!'));
        let function = FUNCTIONS.into_iter().find(|it| function == Some(*it));
        self.nodes.push(Node {
            content,
            span: range,
            tag,
            function,
            line: span.start.line(),
        });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        if let Some(parent) = self.open.last_mut() {
            match (&mut self.nodes[parent.id].content, parent.key.take()) {
                (Content::Mapping(entries), Some(key)) => entries.push((key, id)),
                (Content::Mapping(_), None) => parent.key = Some(id),
                (Content::Sequence(items), _) => items.push(id),
                _ => return None,
            }
        }
        Some(id)
    }

    /// The bytes of a block scalar from its indicator on, without the line breaks at its end. The parser reports its
    /// lines only.
    fn block(&self, lines: &Range<usize>) -> Option<Range<usize>> {
        let before = self.text.get(self.end..lines.start)?;
        let mut at = 0;
        let indicator = loop {
            let rest = &before[at..];
            at += match rest.chars().next()? {
                '|' | '>' => break at,
                '#' => rest.find(['\n', '\r'])?,
                '&' | '!' => rest.find(char::is_whitespace)?,
                other => other.len_utf8(),
            };
        };
        let content = self.text.get(lines.clone())?;
        let content = content.trim_end_matches([' ', '\t', '\n', '\r']);
        Some(self.end + indicator..lines.start + content.len())
    }
}

fn bytes(span: Span) -> Option<Range<usize>> {
    Some(span.start.byte_offset()?..span.end.byte_offset()?)
}

fn is_string(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> bool {
    match tag.map(|tag| (tag.handle(), tag.suffix())) {
        None => style != ScalarStyle::Plain || !is_other(text),
        // `!` and `!!str` say that it is one.
        Some(tag) => matches!(tag, ("", "!") | ("tag:yaml.org,2002:", "str")),
    }
}

/// Whether a plain scalar is null, a boolean or a number. Those with an exponent are strings for the tools.
fn is_other(text: &str) -> bool {
    let is_number = !text.contains(char::is_alphabetic) && text.parse::<f64>().is_ok();
    is_number
        || matches!(
            text,
            "" | "~"
                | "null"
                | "Null"
                | "NULL"
                | "true"
                | "True"
                | "TRUE"
                | "false"
                | "False"
                | "FALSE"
        )
}
