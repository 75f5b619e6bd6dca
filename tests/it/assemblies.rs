//! Cloud assemblies that the CDK made, read as Sluice reads them.
//!
//! `assemblies/apps.zip` has what `cdk synth` (aws-cdk 2.1148.1, aws-cdk-lib 2.276.0, with the flags of `cdk init`) left of
//! 22 small apps, each in `<app>/cdk.out`, without `tree.json`, metadata and reports. The assemblies are output of
//! aws-cdk-lib (Apache-2.0, Copyright Amazon.com, Inc. or its affiliates).

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read as _},
};

use sluice::{
    api::v1alpha1::AssemblyStack,
    domain::workload::cloud_formation::{AssetForm, Bootstrap, FileAsset, Manifest, file_assets},
};
use zip::ZipArchive;

/// The apps.
pub const APPS: &[u8] = include_bytes!("assemblies/apps.zip");

/// The files of the apps by their paths.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(APPS)).unwrap();
    let mut files = BTreeMap::new();
    for at in 0..archive.len() {
        let mut file = archive.by_index(at).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        files.insert(file.name().unwrap().into_owned(), bytes);
    }
    files
}

/// The stacks of an app, those of its nested assemblies included.
fn stacks(files: &BTreeMap<String, Vec<u8>>, app: &str) -> Result<Vec<AssemblyStack>, String> {
    let assembly = format!("{app}/cdk.out");
    let mut folders = vec![assembly.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let manifest = Manifest::read(&files[&format!("{folder}/manifest.json")])?;
        found.extend(manifest.stacks(&assembly, &folder)?);
        folders.extend(manifest.nested(&assembly, &folder)?);
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn assets(
    files: &BTreeMap<String, Vec<u8>>,
    app: &str,
    stack: &AssemblyStack,
    bootstrap: &Bootstrap,
) -> Result<Vec<FileAsset>, String> {
    let mut found = Vec::new();
    for path in &stack.asset_manifests {
        found.extend(file_assets(
            &files[path],
            &format!("{app}/cdk.out"),
            path,
            bootstrap,
        )?);
    }
    Ok(found)
}

fn bootstrap(qualifier: &str) -> Bootstrap {
    Bootstrap {
        account_id: "222222222222".into(),
        region: "eu-west-1".into(),
        qualifier: qualifier.into(),
    }
}

fn apps(files: &BTreeMap<String, Vec<u8>>) -> BTreeSet<&str> {
    let names = files.keys().filter_map(|path| path.split('/').next());
    names.collect()
}

#[test]
fn stacks_of_real_apps_are_found_with_their_dependencies() {
    let files = files();
    assert_eq!(apps(&files).len(), 22);
    let found = |app: &str| -> Vec<String> {
        let stacks = stacks(&files, app).unwrap_or_else(|why| panic!("{app}: {why}"));
        let shown = stacks.iter().map(|stack| {
            let AssemblyStack {
                name,
                stack_name,
                depends_on,
                ..
            } = stack;
            format!("{name} as {stack_name} after {}", depends_on.join(" "))
        });
        shown.collect()
    };
    assert_eq!(found("function"), ["FunctionStack as FunctionStack after "]);
    for app in ["stages", "stages-strong"] {
        assert_eq!(
            found(app),
            [
                "Dev/Api as Dev-Api after Dev/Data",
                "Dev/Data as Dev-Data after ",
                "Prod/Api as Prod-Api after Prod/Data",
                "Prod/Data as Prod-Data after ",
            ]
        );
    }
    assert_eq!(
        found("several"),
        ["A as A after ", "B as B after ", "C as third-stack after A"]
    );
    assert_eq!(found("nested"), ["Parent as Parent after "]);
}

#[test]
fn files_of_real_stacks_are_in_the_assembly_and_their_keys_in_a_template() {
    let files = files();
    let mut published = 0;
    for app in apps(&files) {
        if ["lookup", "image", "custom-bucket"].contains(&app) {
            continue;
        }
        for stack in stacks(&files, app).unwrap_or_else(|why| panic!("{app}: {why}")) {
            let is_own = (app, stack.name.as_str()) == ("several", "B");
            let bootstrap = bootstrap(if is_own { "team1" } else { "hnb659fds" });
            if bootstrap.refusal(&stack).is_some() {
                assert!(stack.environment.contains("1111") || stack.environment.contains("us-"));
                continue;
            }
            assert!(files.contains_key(&stack.template), "{}", stack.template);
            let assets = assets(&files, app, &stack, &bootstrap);
            for asset in assets.unwrap_or_else(|why| panic!("{app}: {why}")) {
                let FileAsset {
                    path, form, key, ..
                } = &asset;
                let is_there = match form {
                    AssetForm::File => files.contains_key(path),
                    AssetForm::Zip => files.keys().any(|it| it.starts_with(&format!("{path}/"))),
                };
                assert!(is_there, "{app}: {path}");
                let of_app = files
                    .iter()
                    .filter(|(path, _)| path.starts_with(&format!("{app}/")));
                let mut templates = of_app.filter(|(path, _)| path.ends_with(".template.json"));
                let is_named = templates
                    .any(|(_, text)| text.windows(key.len()).any(|it| it == key.as_bytes()));
                // The manifest names the stack's own template, and no template does.
                assert!(is_named || path.ends_with(".template.json"), "{app}: {key}");
                published += usize::from(is_named);
            }
        }
    }
    assert!(published >= 20, "{published}");
}

#[test]
fn real_apps_that_can_not_be_deployed_are_refused_with_the_way_out() {
    let files = files();
    let missing = stacks(&files, "lookup").unwrap_err();
    assert!(
        missing.contains("vpc-provider:account=111111111111"),
        "{missing}"
    );
    assert!(missing.contains("commit cdk.context.json"), "{missing}");
    for (app, part) in [
        ("image", "DockerImageCode.fromEcr"),
        ("custom-bucket", "goes to bucket my-own-bucket"),
    ] {
        let stack = stacks(&files, app).unwrap().remove(0);
        let refusal = assets(&files, app, &stack, &bootstrap("hnb659fds")).unwrap_err();
        assert!(refusal.contains(part), "{app}: {refusal}");
    }
    let ireland = stacks(&files, "environments").unwrap().remove(0);
    let refusal = bootstrap("hnb659fds").refusal(&ireland).expect("a refusal");
    assert!(
        refusal.contains("aws://111111111111/eu-west-1"),
        "{refusal}"
    );
}
