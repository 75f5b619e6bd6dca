//! Finds the local paths of a template.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use super::{
    document::{Content, DEPTH, Document, FIND_IN_MAP, Id, TRANSFORM},
    local_path::{Form, LocalPath},
    table::{GLOBALS, INCLUDE, METADATA, RESOURCES, Row, Shape},
};

/// A local path, and its node.
pub struct Found {
    /// The path.
    pub path: LocalPath,
    /// The node to replace.
    pub node: Id,
    /// What to write.
    pub shape: Shape,
}

/// The local paths of a template, in the order of the text.
pub fn find(document: &Document) -> Result<Vec<Found>, String> {
    let mut finder = Finder {
        document,
        steps: Cell::new(1_000_000 + 50 * document.nodes.len()),
        spots: Vec::new(),
        by_node: HashMap::new(),
        globals: HashSet::new(),
        conflict: None,
    };
    finder.template();
    if finder.steps.get() == 0 {
        return Ok(Vec::new());
    }
    if let Some(conflict) = finder.conflict {
        return Err(conflict);
    }
    let mut spots = finder.spots;
    spots.sort_by_key(|spot| document.nodes[spot.node].span.start);
    once_each(document, &spots)?;
    let mut found = Vec::new();
    for spot in spots {
        let Some(path) = local(document, spot.node) else {
            continue;
        };
        let path = LocalPath {
            place: shown(&spot.place),
            line: document.nodes[spot.node].line,
            path: path.to_owned(),
            form: spot.form,
        };
        known(&path)?;
        found.push(Found {
            path,
            node: spot.node,
            shape: spot.shape,
        });
    }
    Ok(found)
}

/// A value that could be a local path.
struct Spot {
    place: Vec<String>,
    node: Id,
    form: Form,
    shape: Shape,
}

/// Refuses keys that occur twice on the way to a local path.
fn once_each(document: &Document, spots: &[Spot]) -> Result<(), String> {
    let mut first: HashMap<&[String], Id> = HashMap::new();
    for spot in spots {
        let Some(&other) = first.get(spot.place.as_slice()) else {
            first.insert(&spot.place, spot.node);
            continue;
        };
        if local(document, other).is_some() || local(document, spot.node).is_some() {
            return Err(format!(
                "{} occurs twice, in lines {} and {}: remove one of them",
                shown(&spot.place),
                document.nodes[other].line,
                document.nodes[spot.node].line
            ));
        }
    }
    Ok(())
}

/// Refuses paths that are not known before the deployment.
fn known(path: &LocalPath) -> Result<(), String> {
    for variable in ["${", "&{"] {
        if path.path.contains(variable) {
            return Err(format!(
                "{} in line {}: the path {:?} contains {variable}…}}, and only CloudFormation can fill that in, \
                 after the upload: write one resource for each path, or give a location in S3",
                path.place, path.line, path.path
            ));
        }
    }
    Ok(())
}

/// The local path that this value is.
fn local(document: &Document, id: Id) -> Option<&str> {
    let scalar = document.scalar(id)?;
    let path = if scalar.is_block() {
        scalar.text.trim_end_matches('\n')
    } else {
        &scalar.text
    };
    let is_elsewhere = ["s3://", "http://", "https://", "{{resolve:"]
        .iter()
        .any(|start| path.starts_with(start));
    (scalar.is_string && !path.is_empty() && !is_elsewhere).then_some(path)
}

/// A place as in messages: `Resources.Fn::ForEach::Queues[2].Queue`.
fn shown(place: &[String]) -> String {
    let mut shown = String::new();
    for name in place {
        if !shown.is_empty() && !name.starts_with('[') {
            shown.push('.');
        }
        // Writing to a string can't fail.
        let _ = write!(shown, "{name}");
    }
    shown
}

/// A place, from the inside out.
#[derive(Clone, Copy)]
struct Place<'p> {
    above: Option<&'p Place<'p>>,
    name: &'p str,
}

impl<'p> Place<'p> {
    fn root(name: &'p str) -> Self {
        Self { above: None, name }
    }

    fn of(&'p self, name: &'p str) -> Self {
        Self {
            above: Some(self),
            name,
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.to_owned()];
        let mut above = self.above;
        while let Some(place) = above {
            names.push(place.name.to_owned());
            above = place.above;
        }
        names.reverse();
        names
    }
}

struct Finder<'d> {
    document: &'d Document,
    /// How many entries may still be looked at; 0 ends the search.
    steps: Cell<usize>,
    spots: Vec<Spot>,
    by_node: HashMap<Id, usize>,
    /// The sections of [`GLOBALS`] from which a resource takes its value.
    globals: HashSet<&'static str>,
    /// The first value that two places need in different forms.
    conflict: Option<String>,
}

impl<'d> Finder<'d> {
    fn template(&mut self) {
        let root = 0;
        for metadata in self.values(root, "Metadata") {
            let place = Place::root("Metadata");
            for row in &METADATA {
                for of in self.values(metadata, row.0) {
                    self.property(of, row.1, row, &place.of(row.0), 0);
                }
            }
        }
        for resources in self.values(root, "Resources") {
            self.resources(resources, &Place::root("Resources"), 0);
        }
        for globals in self.values(root, "Globals") {
            let place = Place::root("Globals");
            for (section, row, _) in &GLOBALS {
                if self.globals.contains(section) {
                    for of in self.values(globals, section) {
                        self.property(of, row.1, row, &place.of(section), 0);
                    }
                }
            }
        }
        self.includes(root, None);
    }

    fn resources(&mut self, id: Id, place: &Place<'_>, depth: usize) {
        if depth > DEPTH {
            return;
        }
        for (name, value) in self.all(id) {
            let place = place.of(name);
            if !name.starts_with("Fn::ForEach::") {
                self.resource(value, &place);
            } else if let [_, _, fragment] = *self.document.items(value) {
                self.resources(fragment, &place.of("[2]"), depth + 1);
            }
        }
    }

    fn resource(&mut self, id: Id, place: &Place<'_>) {
        let Some(resource_type) = self.last_text(id, "Type") else {
            return;
        };
        let place = place.of("Properties");
        for properties in self.values(id, "Properties") {
            let is_inline = !self.values(properties, "InlineCode").is_empty();
            let is_image = self.last_text(properties, "PackageType") == Some("Image");
            if is_inline || is_image {
                continue;
            }
            for row in RESOURCES.iter().filter(|row| row.0 == resource_type) {
                self.property(properties, row.1, row, &place, 0);
            }
            for (section, row, unless) in &GLOBALS {
                let has = |name| !self.values(properties, name).is_empty();
                if row.0 == resource_type && !has(row.1) && !has(unless) {
                    self.globals.insert(section);
                }
            }
        }
    }

    /// Adds the values at this path below a mapping.
    fn property(&mut self, id: Id, path: &str, row: &'static Row, place: &Place<'_>, depth: usize) {
        let Some((first, rest)) = path.split_once('.') else {
            for value in self.values(id, path) {
                self.add(value, row, &place.of(path));
            }
            return;
        };
        if first != "**" {
            for value in self.values(id, first) {
                self.property(value, rest, row, &place.of(first), depth);
            }
            return;
        }
        if depth > DEPTH {
            return;
        }
        for (name, value) in self.all(id) {
            let place = place.of(name);
            if name == rest {
                self.add(value, row, &place);
            } else {
                self.property(value, path, row, &place, depth + 1);
            }
        }
    }

    /// Adds the locations of all `AWS::Include` that are written below a node. It does not follow aliases: what they
    /// stand for is written elsewhere.
    fn includes(&mut self, id: Id, place: Option<&Place<'_>>) {
        let document = self.document;
        match &document.nodes[id].content {
            Content::Mapping(entries) => {
                if document.nodes[id].function == Some(TRANSFORM)
                    && let Some(place) = place
                {
                    self.include(id, place);
                }
                for &(key, value) in entries {
                    let name = document.text(key).unwrap_or("?");
                    let place_of = Place { above: place, name };
                    let is_of_template = name == "Transform" && place.is_none();
                    if is_of_template || name == "Fn::Transform" {
                        self.include(value, &place_of);
                        for (index, item) in document.items(value).iter().enumerate() {
                            self.include(*item, &place_of.of(&format!("[{index}]")));
                        }
                    }
                    self.includes(value, Some(&place_of));
                }
            }
            Content::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    let name = &format!("[{index}]");
                    self.includes(*item, Some(&Place { above: place, name }));
                }
            }
            _ => {}
        }
    }

    fn include(&mut self, id: Id, place: &Place<'_>) {
        if self.last_text(id, "Name") == Some(INCLUDE.0) {
            self.property(id, INCLUDE.1, &INCLUDE, place, 0);
        }
    }

    /// Adds a value, or the values of the mapping in which it is looked up.
    fn add(&mut self, node: Id, row: &'static Row, place: &Place<'_>) {
        let (_, path, form, shape) = *row;
        let name = path.rsplit('.').next().unwrap_or(path);
        let Some(mapping) = self.generated(node, name) else {
            self.add_spot(node, (form, shape), place);
            return;
        };
        // The values of a mapping can't be objects.
        let shape = match shape {
            Shape::Object(..) => Shape::Uri,
            other => other,
        };
        for mappings in self.values(0, "Mappings") {
            let place = Place::root("Mappings");
            let place = place.of(mapping);
            for of in self.values(mappings, mapping) {
                for (key, entry) in self.all(of) {
                    for value in self.values(entry, name) {
                        self.add_spot(value, (form, shape), &place.of(key).of(name));
                    }
                }
            }
        }
    }

    /// The mapping of the template from which this value comes, if `sam build` generated it: for paths that depend on
    /// the variable of a `Fn::ForEach`.
    fn generated(&self, value: Id, name: &str) -> Option<&'d str> {
        let short = self.document.resolved(value).function == Some(FIND_IN_MAP);
        let arguments = if short {
            value
        } else {
            *self.values(value, "Fn::FindInMap").last()?
        };
        let mapping = self
            .document
            .text(*self.document.items(arguments).first()?)?;
        let suffix = mapping.strip_prefix("SAM")?.strip_prefix(name)?;
        suffix.starts_with(char::is_alphanumeric).then_some(mapping)
    }

    fn add_spot(&mut self, node: Id, (form, shape): (Form, Shape), place: &Place<'_>) {
        let Some(&index) = self.by_node.get(&node) else {
            let place = place.names();
            // Long names around many values must not add up.
            if self.may_look_at(place.iter().map(String::len).sum()) {
                self.by_node.insert(node, self.spots.len());
                self.spots.push(Spot {
                    place,
                    node,
                    form,
                    shape,
                });
            }
            return;
        };
        let spot = &self.spots[index];
        let is_same = (spot.form, spot.shape) == (form, shape);
        if !is_same && self.conflict.is_none() && local(self.document, node).is_some() {
            self.conflict = Some(format!(
                "{} and {} share the path in line {}, but need different forms of it: write it at each of them",
                shown(&spot.place),
                shown(&place.names()),
                self.document.nodes[node].line
            ));
        }
    }

    /// The text of the last value of this key, which is the one that counts.
    fn last_text(&self, id: Id, key: &str) -> Option<&'d str> {
        self.document.text(*self.values(id, key).last()?)
    }

    /// The values of this key: its own, else that of the first mapping that is merged and has the key.
    fn values(&self, id: Id, key: &str) -> Vec<Id> {
        self.values_below(id, key, 0)
    }

    fn values_below(&self, id: Id, key: &str, depth: usize) -> Vec<Id> {
        let entries = self.document.entries(id);
        if depth > DEPTH || !self.may_look_at(entries.len()) {
            return Vec::new();
        }
        let own = entries
            .iter()
            .filter(|(name, _)| self.document.text(*name) == Some(key));
        let own: Vec<Id> = own.map(|(_, value)| *value).collect();
        if !own.is_empty() {
            return own;
        }
        for merged in self.merged(entries) {
            let values = self.values_below(merged, key, depth + 1);
            if !values.is_empty() {
                return values;
            }
        }
        Vec::new()
    }

    /// All keys and values, those of merged mappings included.
    fn all(&self, id: Id) -> Vec<(&'d str, Id)> {
        let mut all = Vec::new();
        self.add_all(id, &mut HashSet::new(), &mut all, 0);
        all
    }

    fn add_all(
        &self,
        id: Id,
        names: &mut HashSet<&'d str>,
        all: &mut Vec<(&'d str, Id)>,
        depth: usize,
    ) {
        let entries = self.document.entries(id);
        if depth > DEPTH || !self.may_look_at(entries.len()) {
            return;
        }
        let begin = all.len();
        for &(key, value) in entries {
            if let Some(name) = self.document.text(key)
                && !self.document.is_merge(key)
                && !names.contains(name)
            {
                all.push((name, value));
            }
        }
        names.extend(all[begin..].iter().map(|(name, _)| *name));
        for merged in self.merged(entries) {
            self.add_all(merged, names, all, depth + 1);
        }
    }

    fn merged(&self, entries: &[(Id, Id)]) -> Vec<Id> {
        let mut merged = Vec::new();
        for (key, value) in entries {
            if self.document.is_merge(*key) {
                let items = self.document.items(*value);
                if self.may_look_at(items.len()) {
                    merged.push(*value);
                    merged.extend(items);
                }
            }
        }
        merged
    }

    fn may_look_at(&self, entries: usize) -> bool {
        let left = self.steps.get().saturating_sub(entries + 1);
        self.steps.set(left);
        left > 0
    }
}
