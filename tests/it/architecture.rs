//! Architecture rules: which part may depend on which, how long a file may be, and how it begins.
//!
//! The tests read the sources, because the compiler does not know layers within a crate. Code under
//! `#[cfg(test)]` and in a `tests.rs` is not part of the program: the rules of layers and imports ignore it,
//! the limit of length does not.

mod imports;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::imports::Imports;

/// The parts that each part of the program may use. The wiring may use all.
const LAYERS: [(&str, &[&str]); 12] = [
    ("api", &["api"]),
    ("domain", &["api", "domain"]),
    ("ports", &["api", "domain", "ports"]),
    (
        "adapters",
        &[
            "api",
            "domain",
            "ports",
            "adapters",
            "fair_semaphore",
            "fence",
            "metrics",
        ],
    ),
    (
        "controllers",
        &[
            "api",
            "domain",
            "ports",
            "controllers",
            "fair_semaphore",
            "fence",
            "metrics",
        ],
    ),
    ("fair_semaphore", &["fair_semaphore"]),
    ("fence", &["fence"]),
    ("generate", &["api", "domain", "generate"]),
    ("metrics", AROUND),
    ("telemetry", AROUND),
    ("http", AROUND),
    ("leader", AROUND),
];
const AROUND: &[&str] = &[
    "api",
    "domain",
    "fence",
    "ports",
    "metrics",
    "telemetry",
    "http",
    "leader",
];
/// The parts that wire the others together.
const WIRING: [&str; 4] = ["app", "cli", "lib", "main"];

/// Words that only some parts may use, and why.
struct Reserved {
    words: &'static [&'static str],
    is_allowed_in: fn(&str) -> bool,
    reason: &'static str,
}

const RESERVED: [Reserved; 3] = [
    Reserved {
        words: &[
            "aws_config",
            "aws_credential_types",
            "aws_sdk_cloudformation",
            "aws_sdk_cloudwatch",
            "aws_sdk_lambda",
            "aws_sdk_s3",
            "aws_sdk_sts",
            "aws_smithy_runtime_api",
            "aws_smithy_types",
            "reqwest",
        ],
        is_allowed_in: |layer| matches!(layer, "adapters" | "app" | "main"),
        reason: "SDK types stay behind the ports: declare the call in src/ports, implement it in src/adapters",
    },
    Reserved {
        words: &[
            "async",
            "await",
            "tokio",
            "kube::Api",
            "kube::api",
            "kube::Client",
            "kube::client",
            "kube::runtime",
        ],
        is_allowed_in: |layer| !matches!(layer, "api" | "domain"),
        reason: "decisions are pure: take observations as arguments and return actions",
    },
    Reserved {
        words: &["SystemTime::now", "Timestamp::now", "Instant::now"],
        is_allowed_in: |layer| !matches!(layer, "api" | "domain"),
        reason: "decisions have no hidden clock: take `now` as an argument",
    },
];

/// The most lines of a file below `src`, tests included.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust source below `dir`, as its path from the root and its text.
pub fn sources(dir: &str) -> Vec<(String, String)> {
    fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    collect(&root.join(dir), &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            (name, text)
        })
        .collect()
}

/// The sources of the program, without test files.
pub fn programs() -> Vec<(String, String)> {
    let mut all = sources("src");
    all.retain(|(path, _)| !path.ends_with("/tests.rs") && !path.contains("/tests/"));
    assert!(all.len() > 10, "the sources were not found");
    all
}

/// The program's own text, without comments and tests.
pub fn program(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]").unwrap_or(text.len());
    let lines = text[..end].lines();
    lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |all, line| all + line + "\n")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The positions of `word` in `text` as a whole word.
fn occurrences(text: &str, word: &str) -> Vec<usize> {
    text.match_indices(word)
        .filter(|(at, _)| {
            let before = text[..*at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
        .map(|(at, _)| at)
        .collect()
}

/// The violations of a source against the rules of its layer.
fn violations(path: &str, text: &str, imports: &Imports) -> Vec<String> {
    let layer = path.trim_start_matches("src/").split(['/', '.']).next();
    let layer = layer.unwrap_or_default();
    let text = program(text);
    let mut found = Vec::new();
    let rule = LAYERS.iter().find(|(name, _)| *name == layer);
    match rule {
        Some((_, allowed)) => {
            for name in imports.parts(path) {
                if !allowed.contains(&name.as_str()) {
                    found.push(format!(
                        "{path} uses crate::{name}: {layer} may use {} only",
                        allowed.join(", ")
                    ));
                }
            }
        }
        None if WIRING.contains(&layer) => {}
        None => found.push(format!(
            "{path}: the part {layer} is not a known layer: add it to LAYERS"
        )),
    }
    for reserved in &RESERVED {
        for word in reserved.words {
            if !(reserved.is_allowed_in)(layer) && !occurrences(&text, word).is_empty() {
                found.push(format!("{path} uses {word}: {}", reserved.reason));
            }
        }
    }
    found
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    let programs = programs();
    let imports = Imports::of(&programs);
    let found: Vec<String> = programs
        .iter()
        .flat_map(|(path, text)| violations(path, text, &imports))
        .collect();
    assert_none(&found);
}

#[test]
fn files_have_no_import_circles() {
    let circles = Imports::of(&programs()).circles();
    let found: Vec<String> = circles
        .iter()
        .map(|files| format!("import circle: {}", files.join(", ")))
        .collect();
    assert_none(&found);
}

#[test]
fn import_circle_is_found() {
    let sources = |last: &str| {
        [
            (
                "src/domain/mod.rs",
                "pub mod a; pub mod b; pub use self::b::Thing;",
            ),
            (
                "src/domain/a.rs",
                "use super::Thing; pub const SIZE: usize = 1;",
            ),
            ("src/domain/b.rs", last),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
    };
    let circles = |last: &str| Imports::of(&sources(last)).circles();
    let circle = vec!["src/domain/a.rs".to_owned(), "src/domain/b.rs".to_owned()];
    for last in [
        "use crate::domain::a::SIZE; pub struct Thing;",
        "pub struct Thing; fn f() -> usize { super::a::SIZE }",
    ] {
        assert_eq!(circles(last), std::slice::from_ref(&circle), "{last}");
    }
    for last in [
        "pub struct Thing;",
        "pub struct Thing;\n#[cfg(test)]\nmod tests { use crate::domain::a::SIZE; }",
    ] {
        assert_eq!(circles(last), Vec::<Vec<String>>::new(), "{last}");
    }
}

#[test]
fn a_file_is_one_idea() {
    let found: Vec<String> = sources("src")
        .iter()
        .filter_map(|(path, text)| {
            let lines = text.lines().count();
            (lines > LONGEST).then(|| {
                format!("{path} has {lines} lines, the limit is {LONGEST}: split it by idea")
            })
        })
        .collect();
    assert_none(&found);
}

#[test]
fn every_module_begins_with_its_purpose() {
    let tests = ["tests/chaos", "tests/it", "tests/lab"]
        .iter()
        .flat_map(|dir| sources(dir));
    let found: Vec<String> = programs()
        .into_iter()
        .chain(tests)
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| {
            format!("{path} must begin with //!: what it is for and what it relies on")
        })
        .collect();
    assert_none(&found);
}

#[test]
fn violations_are_found() {
    let broken = [
        ("src/api/v1alpha1/x.rs", "use crate::domain::plan;"),
        (
            "src/domain/plan/x.rs",
            "use crate::{api::v1alpha1::{A, B}, ports::store};",
        ),
        (
            "src/domain/x.rs",
            "fn f(x: &super::super::ports::store::Store) {}",
        ),
        ("src/domain/mod.rs", "use super::{api, adapters::aws};"),
        ("src/domain/x.rs", "pub async fn f() {}"),
        (
            "src/domain/x.rs",
            "fn f() { let now = jiff::Timestamp::now(); }",
        ),
        ("src/domain/x.rs", "fn f(client: &kube::Client) {}"),
        ("src/ports/x.rs", "use crate::controllers::context;"),
        ("src/adapters/x.rs", "fn f() { crate::controllers::x(); }"),
        (
            "src/controllers/x.rs",
            "use crate::{\n    adapters::aws,\n    api,\n};",
        ),
        ("src/controllers/x.rs", "use aws_sdk_lambda::Client;"),
        ("src/leader.rs", "use crate::controllers::Context;"),
        ("src/http.rs", "use reqwest::Client;"),
        ("src/elsewhere.rs", ""),
    ];
    let found = |path: &str, text: &str| {
        let imports = Imports::of(&[(path.to_owned(), text.to_owned())]);
        violations(path, text, &imports)
    };
    for (path, text) in broken {
        assert_eq!(found(path, text).len(), 1, "{path}: {text}");
    }
    let sound = [
        (
            "src/domain/x.rs",
            "use crate::{api::v1alpha1::{A, B}, domain::c};",
        ),
        ("src/domain/x.rs", "use super::failure::CallError;"),
        (
            "src/domain/x.rs",
            "//! As [`crate::adapters`] does.\nuse crate::api;",
        ),
        (
            "src/domain/x.rs",
            "\n#[cfg(test)]\nmod tests { use crate::adapters; }",
        ),
        (
            "src/domain/x.rs",
            "// async would be wrong\nconst asynchronous: usize = 1;",
        ),
        ("src/ports/x.rs", "async fn f() {}"),
        (
            "src/adapters/aws/x.rs",
            "use crate::{metrics, ports}; use aws_sdk_lambda::Client;",
        ),
        (
            "src/app.rs",
            "use crate::{adapters, controllers}; use reqwest::Client;",
        ),
    ];
    for (path, text) in sound {
        assert_none(&found(path, text));
    }
}
