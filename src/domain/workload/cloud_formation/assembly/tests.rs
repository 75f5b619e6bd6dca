//! Tests of assemblies, on what `cdk synth` of aws-cdk-lib 2.276.0 wrote, and on what others might write.

use serde_json::{Value, json};

use super::{path::in_assembly, *};
use crate::api::v1alpha1::AssemblyStack;

fn bootstrap() -> Bootstrap {
    Bootstrap {
        account_id: "222222222222".into(),
        region: "eu-west-1".into(),
        qualifier: "hnb659fds".into(),
    }
}

/// A manifest of a stack `Api`, in the shape of `cdk synth`.
fn manifest() -> Value {
    json!({
        "version": "55.0.0",
        "artifacts": {
            "Api.assets": {
                "type": "cdk:asset-manifest",
                "properties": {"file": "Api.assets.json", "requiresBootstrapStackVersion": 6},
            },
            "Api": {
                "type": "aws:cloudformation:stack",
                "environment": "aws://unknown-account/unknown-region",
                "properties": {"templateFile": "Api.template.json", "validateOnSynth": false},
                "dependencies": ["Api.assets"],
                "displayName": "Api",
            },
            "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}},
        },
    })
}

fn read(manifest: &Value) -> Result<Manifest, String> {
    Manifest::read(manifest.to_string().as_bytes())
}

fn stacks(manifest: &Value, folder: &str) -> Result<Vec<AssemblyStack>, String> {
    read(manifest)?.stacks("cdk.out", folder)
}

fn stack() -> AssemblyStack {
    stacks(&manifest(), "cdk.out").unwrap().remove(0)
}

#[test]
fn stack_has_its_files_in_the_archive() {
    let expected = AssemblyStack {
        name: "Api".into(),
        id: "Api".into(),
        stack_name: "Api".into(),
        environment: "aws://unknown-account/unknown-region".into(),
        template: "cdk.out/Api.template.json".into(),
        asset_manifests: vec!["cdk.out/Api.assets.json".into()],
        depends_on: Vec::new(),
    };
    assert_eq!(stacks(&manifest(), "cdk.out"), Ok(vec![expected]));
}

#[test]
fn stack_depends_on_stacks_by_their_paths_in_the_app() {
    let mut manifest = manifest();
    manifest["artifacts"]["Data1A2B"] = manifest["artifacts"]["Api"].clone();
    manifest["artifacts"]["Data1A2B"]["displayName"] = json!("Prod/Data");
    manifest["artifacts"]["Api"]["dependencies"] = json!(["Data1A2B", "Api.assets", "Absent"]);
    let stacks = stacks(&manifest, "cdk.out").unwrap();
    assert_eq!(stacks[0].depends_on, ["Prod/Data"]);
}

#[test]
fn stack_that_a_release_can_not_hold_is_refused() {
    let mut manifest = manifest();
    manifest["artifacts"]["Api"]["displayName"] = json!("A".repeat(513));
    let refusal = stacks(&manifest, "cdk.out").unwrap_err();
    assert!(refusal.contains("a name of more than 512"), "{refusal}");
}

#[test]
fn nested_assembly_is_in_its_own_folder() {
    let mut outer = manifest();
    outer["artifacts"]["assembly-Prod"] = json!({
        "type": "cdk:cloud-assembly",
        "properties": {"directoryName": "assembly-Prod", "displayName": "Prod"},
    });
    let nested = read(&outer).unwrap().nested("cdk.out", "cdk.out");
    assert_eq!(nested, Ok(vec!["cdk.out/assembly-Prod".to_owned()]));
    let inner = stacks(&manifest(), "cdk.out/assembly-Prod").unwrap();
    assert_eq!(inner[0].template, "cdk.out/assembly-Prod/Api.template.json");
}

#[test]
fn manifest_that_is_not_understood_is_refused() {
    let with = |change: fn(&mut Value)| {
        let mut manifest = manifest();
        change(&mut manifest);
        stacks(&manifest, "cdk.out").unwrap_err()
    };
    for (message, expected) in [
        (
            with(|it| it["version"] = json!("56.0.0")),
            "the version of its schema is 56.0.0, and this Sluice knows those up to 55",
        ),
        (with(|it| it["version"] = json!("next")), "no version"),
        (
            with(|it| {
                it["missing"] = json!([{"key": "vpc-provider:account=1", "provider": "vpc-provider", "props": {}}]);
            }),
            "the value of the context lookup vpc-provider:account=1 is missing",
        ),
        (
            with(|it| it["artifacts"]["Api"]["properties"] = json!({})),
            "its stack Api has no templateFile",
        ),
        (with(|it| it["artifacts"] = json!([])), "not the manifest"),
    ] {
        assert!(message.contains(expected), "{message}");
    }
    assert!(Manifest::read(b"\xff").is_err());
}

#[test]
fn paths_out_of_the_assembly_are_refused() {
    for path in [
        "../template.json",
        "assembly-Prod/../../template.json",
        "/etc/passwd",
        "C:/template.json",
        "a\\b",
        "",
        ".",
        "..",
        "../cdk.outside/template.json",
    ] {
        let refusal = in_assembly("cdk.out", "cdk.out", path).unwrap_err();
        assert!(
            refusal.contains("leads out of the assembly")
                || refusal.contains("not a relative path"),
            "{path}: {refusal}"
        );
        let mut manifest = manifest();
        manifest["artifacts"]["Api"]["properties"]["templateFile"] = json!(path);
        assert!(stacks(&manifest, "cdk.out").is_err(), "{path}");
        manifest["artifacts"]["Api"]["properties"]["templateFile"] = json!("Api.template.json");
        manifest["artifacts"]["Api.assets"]["properties"]["file"] = json!(path);
        assert!(stacks(&manifest, "cdk.out").is_err(), "{path}");
    }
    for (folder, path, expected) in [
        ("cdk.out", "./asset.1", "cdk.out/asset.1"),
        ("cdk.out/assembly-Prod", "../asset.1", "cdk.out/asset.1"),
        ("cdk.out", "a/../asset.1", "cdk.out/asset.1"),
    ] {
        assert_eq!(in_assembly("cdk.out", folder, path), Ok(expected.into()));
    }
}

#[test]
fn stack_is_found_by_its_path_id_or_name() {
    let named = |display: &str, id: &str, name: &str| AssemblyStack {
        name: display.into(),
        id: id.into(),
        stack_name: name.into(),
        ..stack()
    };
    let all = [
        named("Dev/Api", "DevApi1A2B", "Dev-Api"),
        named("Prod/Api", "ProdApi3C4D", "Prod-Api"),
        named("Prod-Api", "ProdApi", "Other"),
        named("One", "One", "Same"),
        named("Two", "Two", "Same"),
    ];
    let found = |name: &str| select(&all, name).map(|stack| stack.id.as_str());
    assert_eq!(found("Dev/Api"), Ok("DevApi1A2B"));
    assert_eq!(found("ProdApi3C4D"), Ok("ProdApi3C4D"));
    assert_eq!(found("Dev-Api"), Ok("DevApi1A2B"));
    assert_eq!(found("Prod-Api"), Ok("ProdApi"), "its path comes first");
    let twice = found("Same").unwrap_err();
    assert!(twice.contains("One and Two"), "{twice}");
    let none = found("dev/Api").unwrap_err();
    assert!(none.contains("it has Dev/Api, Prod/Api"), "{none}");
    let empty = select(&[], "Api").unwrap_err();
    assert!(empty.ends_with("it has no stack"), "{empty}");
}

#[test]
fn stack_of_another_environment_is_refused() {
    let in_environment = |environment: &str| {
        bootstrap().refusal(&AssemblyStack {
            environment: environment.into(),
            ..stack()
        })
    };
    for environment in [
        "aws://unknown-account/unknown-region",
        "aws://222222222222/eu-west-1",
        "aws://222222222222/unknown-region",
    ] {
        assert_eq!(in_environment(environment), None, "{environment}");
    }
    for environment in [
        "aws://333333333333/eu-west-1",
        "aws://222222222222/us-east-1",
        "aws://222222222222/eu-west-1/",
        "gcp://222222222222/eu-west-1",
        "",
    ] {
        let refusal = in_environment(environment).expect(environment);
        assert!(refusal.contains(environment), "{refusal}");
    }
}

/// An asset manifest with one file, in the shape of `cdk synth` for a stack without an environment.
fn assets() -> Value {
    json!({
        "version": "55.0.0",
        "files": {"1a2b": {
            "displayName": "Function/Code",
            "source": {"path": "asset.1a2b", "packaging": "zip"},
            "destinations": {"current_account-current_region-1": {
                "bucketName": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}",
                "objectKey": "1a2b.zip",
                "assumeRoleArn": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/cdk-hnb659fds-file-publishing-role-${AWS::AccountId}-${AWS::Region}",
            }},
        }},
        "dockerImages": {},
    })
}

fn listed(assets: &Value) -> Result<Vec<FileAsset>, String> {
    let text = assets.to_string();
    file_assets(
        text.as_bytes(),
        "cdk.out",
        "cdk.out/Api.assets.json",
        &bootstrap(),
    )
}

#[test]
fn assets_go_to_the_bucket_of_the_bootstrap() {
    let expected = FileAsset {
        id: "1a2b".into(),
        path: "cdk.out/asset.1a2b".into(),
        form: AssetForm::Zip,
        key: "1a2b.zip".into(),
    };
    assert_eq!(listed(&assets()), Ok(vec![expected.clone()]));
    let of_environment = assets()
        .to_string()
        .replace("${AWS::AccountId}", "222222222222")
        .replace("${AWS::Region}", "eu-west-1");
    let of_environment: Value = serde_json::from_str(&of_environment).unwrap();
    assert_eq!(listed(&of_environment), Ok(vec![expected]));
    assert_eq!(
        bootstrap().bucket(),
        "cdk-hnb659fds-assets-222222222222-eu-west-1"
    );
}

#[test]
fn other_destinations_are_refused() {
    const DESTINATION: &str = "current_account-current_region-1";
    let with = |field: &str, value: &str| {
        let mut assets = assets();
        assets["files"]["1a2b"]["destinations"][DESTINATION][field] = json!(value);
        listed(&assets).unwrap_err()
    };
    let role = "role/cdk-hnb659fds-file-publishing-role-";
    for (field, value) in [
        ("bucketName", "my-own-bucket"),
        ("bucketName", "cdk-hnb659fds-assets-333333333333-eu-west-1"),
        (
            "bucketName",
            "cdk-other-assets-${AWS::AccountId}-${AWS::Region}",
        ),
        (
            "bucketName",
            "cdk-hnb659fds-assets-${AWS::AccountId}-us-east-1",
        ),
        ("region", "us-east-1"),
        (
            "assumeRoleArn",
            &format!("arn:aws:iam::333333333333:{role}333333333333-eu-west-1"),
        ),
        ("assumeRoleArn", "arn:aws:iam::222222222222:role/admin"),
    ] {
        let refusal = with(field, value);
        assert!(
            refusal.contains("only to cdk-hnb659fds-assets-222222222222-eu-west-1"),
            "{refusal}"
        );
    }
    for key in ["", "a\nb", &"k".repeat(1025)] {
        assert!(with("objectKey", key).contains("invalid key"));
    }
}

#[test]
fn destinations_in_other_accounts_and_regions_are_left_out() {
    let destination = |account: &str, region: &str| {
        json!({
            "bucketName": format!("cdk-hnb659fds-assets-{account}-{region}"), "objectKey": "1a2b.zip", "region": region,
        })
    };
    let mut shared = assets();
    let destinations = &mut shared["files"]["1a2b"]["destinations"];
    destinations["333333333333-eu-west-1-8d2c0177"] = destination("333333333333", "eu-west-1");
    destinations["222222222222-us-east-1-e7fa6661"] = destination("222222222222", "us-east-1");
    assert_eq!(listed(&shared), listed(&assets()));
    destinations_only(&mut shared, "222222222222-eu-west-1");
    assert_eq!(
        listed(&shared),
        listed(&assets()),
        "without a digest, as earlier versions write it"
    );
}

/// Leaves one destination, in the account and region of the target.
fn destinations_only(assets: &mut Value, id: &str) {
    assets["files"]["1a2b"]["destinations"] = json!({id: {
        "bucketName": "cdk-hnb659fds-assets-222222222222-eu-west-1", "objectKey": "1a2b.zip", "region": "eu-west-1",
    }});
}

#[test]
fn assets_that_sluice_does_not_make_are_refused() {
    let mut image = assets();
    image["dockerImages"]["9f"] = json!({"source": {"directory": "asset.9f"}});
    let refusal = listed(&image).unwrap_err();
    assert!(refusal.contains("DockerImageCode.fromEcr"), "{refusal}");
    let mut command = assets();
    command["files"]["1a2b"]["source"] = json!({"executable": ["make"]});
    let refusal = listed(&command).unwrap_err();
    assert!(refusal.contains("let cdk synth bundle it"), "{refusal}");
    let mut outside = assets();
    outside["files"]["1a2b"]["source"]["path"] = json!("../../.git");
    assert!(listed(&outside).is_err());
    assert!(file_assets(b"null", "cdk.out", "cdk.out/Api.assets.json", &bootstrap()).is_err());
}
