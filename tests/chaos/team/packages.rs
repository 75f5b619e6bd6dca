//! The packages that the team's pipelines build.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sluice_lab::{
    gitlab::{JobEnd, JobSpec, zip},
    lab::package_answering,
};

use super::{SITE, STACK, Team, stacks};

impl Team<'_> {
    /// Runs a pipeline that builds these components in this version. Functions in `bad` return status 500, and
    /// a stack in it has a resource that fails.
    pub fn push(&self, version: &str, components: &[&str], bad: &[&str]) {
        let gitlab = &self.fixture.lab.gitlab;
        gitlab.push(self.project, "main", &format!("Change to {version}"));
        let packages: BTreeMap<String, Vec<u8>> = components
            .iter()
            .map(|name| {
                if [SITE, STACK].contains(name) {
                    let package = if *name == SITE {
                        site(version)
                    } else {
                        stacks::archive(version, bad.contains(name))
                    };
                    self.replace_digest(&package, &format!("{name}:{version}"));
                    return (format!("dist/{name}.zip"), package);
                }
                let status = if bad.contains(name) { 500 } else { 200 };
                let response = json!({
                    "statusCode": status, "version": version, "component": name, "team": self.namespace,
                });
                let package = package_answering(&response);
                self.replace_digest(&package, &format!("{name}:{version}"));
                self.components().insert((*name).to_owned());
                (format!("dist/{name}.zip"), package)
            })
            .collect();
        let files: Vec<(&str, &[u8])> = packages
            .iter()
            .map(|(path, package)| (path.as_str(), package.as_slice()))
            .collect();
        let job = JobSpec::new("package", "package").ends(JobEnd::uploads(zip(&files)));
        gitlab.run_pipeline(self.project, "main", vec![job]);
    }

    fn components(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.components
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all functions that were built.
    pub fn known_functions(&self) -> Vec<String> {
        let components = self.components();
        components.iter().map(|one| self.function(one)).collect()
    }

    /// Adds a placeholder for the digest of a package. It differs between runs, because the package contains
    /// the name of the team.
    fn replace_digest(&self, package: &[u8], placeholder: &str) {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, package);
        let interceptor = &self.slot.interceptor;
        interceptor.replace(hex::encode(digest.as_ref()), format!("<{placeholder}>"));
        interceptor.replace(STANDARD.encode(digest.as_ref()), format!("<{placeholder}>"));
    }
}

/// The files of a version: one that changes, one that never changes, and one that only this version has.
fn site(version: &str) -> Vec<u8> {
    let index = format!("<h1>{version}</h1>");
    let only = format!("only-{version}.js");
    let files: [(&str, &[u8]); 3] = [
        ("index.html", index.as_bytes()),
        ("style.css", b"h1 { color: teal }"),
        (&only, b"'use strict'"),
    ];
    zip(&files)
}
