//! Which source file uses which, as the compiler resolves paths: read with `syn`, without the tests.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Attribute, Item, UseTree, Visibility,
    visit::{self, Visit},
};

/// A path from the root of the crate, such as `[domain, engine, Step]`.
type ModulePath = Vec<String>;

/// The imports and items of one source file.
#[derive(Debug, Default)]
struct Module {
    file: String,
    /// Every path that it names, as written.
    paths: Vec<Vec<String>>,
    /// `pub use`: the name here, and the path.
    reexports: BTreeMap<String, Vec<String>>,
    /// `pub use path::*`.
    globs: Vec<Vec<String>>,
    /// The names of the items that it defines.
    items: BTreeSet<String>,
}

/// The modules of the crate.
#[derive(Debug, Default)]
pub struct Imports(BTreeMap<ModulePath, Module>);

impl Imports {
    /// Parses these files below `src`, each a path and a text.
    pub fn of(sources: &[(String, String)]) -> Self {
        let sources = sources.iter().filter(|(path, _)| path != "src/main.rs");
        Self(
            sources
                .map(|(path, text)| (module_path(path), Module::of(path, text)))
                .collect(),
        )
    }

    /// The parts of the crate (`api`, `domain`, …) that a file names.
    pub fn parts(&self, file: &str) -> BTreeSet<String> {
        let found = self.0.iter().find(|(_, module)| module.file == file);
        let Some((path, module)) = found else {
            return BTreeSet::new();
        };
        let absolute = module.paths.iter().filter_map(|it| self.absolute(path, it));
        absolute
            .filter_map(|path| path.into_iter().next())
            .collect()
    }

    /// The import circles, each as the names of its files.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let edges: BTreeMap<&ModulePath, BTreeSet<ModulePath>> = self
            .0
            .keys()
            .map(|path| (path, self.used_by(path)))
            .collect();
        let reached = |from: &ModulePath| {
            let mut reached = BTreeSet::new();
            let mut next: Vec<&ModulePath> = edges[from].iter().collect();
            while let Some(path) = next.pop() {
                if reached.insert(path.clone()) {
                    next.extend(&edges[path]);
                }
            }
            reached
        };
        let reached: BTreeMap<&ModulePath, BTreeSet<ModulePath>> =
            self.0.keys().map(|path| (path, reached(path))).collect();
        let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
        for (path, of_path) in &reached {
            let members = of_path
                .iter()
                .filter(|other| reached[other].contains(*path));
            let files: Vec<String> = members.map(|it| self.0[it].file.clone()).collect();
            if files.len() > 1 {
                circles.insert(files);
            }
        }
        circles.into_iter().collect()
    }

    fn used_by(&self, path: &ModulePath) -> BTreeSet<ModulePath> {
        let absolute = self.0[path].paths.iter();
        let absolute = absolute.filter_map(|used| self.absolute(path, used));
        let defining = absolute.filter_map(|used| self.defining(&used, 0));
        defining.filter(|used| used != path).collect()
    }

    /// The path from the root of the crate; `None` for a path into another crate.
    fn absolute(&self, module: &ModulePath, path: &[String]) -> Option<ModulePath> {
        let mut base = module.clone();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([&base, &path[1..]].concat()),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                base.truncate(base.len().saturating_sub(ups));
                Some([&base, &path[ups..]].concat())
            }
            _ => {
                base.push(path[0].clone());
                let is_child = self.0.contains_key(&base);
                is_child.then(|| [&base, &path[1..]].concat())
            }
        }
    }

    /// The module that defines what the path names, whatever re-exports it.
    fn defining(&self, path: &[String], depth: usize) -> Option<ModulePath> {
        let longest = (0..=path.len())
            .rev()
            .find(|end| self.0.contains_key(&path[..*end]))?;
        let (at, rest) = path.split_at(longest);
        let module = &self.0[at];
        let (Some(name), true) = (rest.first(), depth < 8) else {
            return Some(at.to_vec());
        };
        if let Some(exported) = module.reexports.get(name)
            && let Some(exported) = self.absolute(&at.to_vec(), exported)
        {
            return self.defining(&[&exported, &rest[1..]].concat(), depth + 1);
        }
        let globs = module.globs.iter();
        let globs = globs.filter_map(|glob| self.absolute(&at.to_vec(), glob));
        let defining = globs
            .filter(|glob| !module.items.contains(name) && self.0.contains_key(glob))
            .find(|glob| self.0[glob].items.contains(name));
        Some(defining.unwrap_or_else(|| at.to_vec()))
    }
}

/// `src/domain/engine/step.rs` is `[domain, engine, step]`.
fn module_path(file: &str) -> ModulePath {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
        parts.pop();
    }
    parts
}

impl Module {
    fn of(file: &str, text: &str) -> Self {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut module = Self {
            file: file.to_owned(),
            ..Self::default()
        };
        module.visit_file(&parsed);
        module
    }

    fn take_in(&mut self, prefix: &[String], tree: &UseTree, is_public: bool) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.take_in(&with(&path.ident), &path.tree, is_public),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.take_in(prefix, tree, is_public);
                }
            }
            UseTree::Name(name) if name.ident == "self" => self.named(prefix.to_vec(), None),
            UseTree::Name(name) => {
                let exported = is_public.then(|| name.ident.to_string());
                self.named(with(&name.ident), exported);
            }
            UseTree::Rename(renamed) => {
                let exported = is_public.then(|| renamed.rename.to_string());
                self.named(with(&renamed.ident), exported);
            }
            UseTree::Glob(_) => {
                if is_public {
                    self.globs.push(prefix.to_vec());
                }
                self.paths.push(prefix.to_vec());
            }
        }
    }

    fn named(&mut self, path: Vec<String>, exported: Option<String>) {
        if let Some(name) = exported {
            self.reexports.insert(name, path.clone());
        }
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        self.items.extend(name(item));
        if let Item::Use(item) = item {
            let is_public = !matches!(item.vis, Visibility::Inherited);
            self.take_in(&[], &item.tree, is_public);
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if parts.len() > 1 {
            self.paths.push(parts);
        }
        visit::visit_path(self, path);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| {
        it.path().is_ident("cfg")
            && it
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(it) => &it.ident,
        Item::Enum(it) => &it.ident,
        Item::Fn(it) => &it.sig.ident,
        Item::Macro(it) => it.ident.as_ref()?,
        Item::Mod(it) => &it.ident,
        Item::Static(it) => &it.ident,
        Item::Struct(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::Type(it) => &it.ident,
        _ => return None,
    };
    Some(name.to_string())
}
