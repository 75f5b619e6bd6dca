//! Two functions and a site that are delivered and rolled back together.

use std::collections::BTreeMap;

use sluice_lab::{
    error::LabError,
    gitlab::{JobEnd, JobSpec, zip},
    lab::{SiteFile, Tenant, condition_of, package, package_of},
};

use super::{
    story::{Demo, ensure, in_words},
    tell::{say, verified},
};

const MANIFEST: &str = include_str!("storefront.yaml");
/// The namespace and its Deployment, as in `storefront.yaml`.
pub const NAME: &str = "storefront";
const FUNCTIONS: [&str; 2] = ["storefront-api", "storefront-cart"];
/// The prefix of the files in dev's bucket.
const PREFIX: &str = "storefront/";

type Files = BTreeMap<String, SiteFile>;

/// r2's cart works when it is invoked by version number and fails behind its alias. The check finds that
/// after everything has moved, and Sluice restores both functions and every file.
pub fn roll_back_together(demo: &Demo) -> Result<(), LabError> {
    let team = demo.lab.create_tenant(NAME, "shop/storefront")?;
    let bucket = demo.lab.site_bucket("dev")?;
    demo.lab.apply(&MANIFEST.replace("BUCKET", bucket))?;
    push(demo, &team, "r1", &package("r1"));
    demo.follow_of(
        NAME,
        "r1 is live",
        |object| match object["status"]["live"].as_str() {
            Some("dev=r1") => Ok(()),
            other => Err(format!("live is {other:?}")),
        },
    )?;
    let before = demo.lab.files("dev", PREFIX)?;
    verified(format!("s3://{bucket}/{PREFIX} has {}", listed(&before)));

    let mark = demo.lab.aws.mark();
    push(demo, &team, "r2", &fails_behind_alias());
    let object = demo.follow_of(NAME, "r2 is rolled back", |object| {
        match condition_of(object, "Ready") {
            Some(ready) if ready["reason"] == "RolledBack" => Ok(object.clone()),
            other => Err(format!("Ready is {other:?}")),
        }
    })?;
    let message = condition_of(&object, "Ready").map(|ready| ready["message"].to_string());
    let message = message.unwrap_or_default();
    ensure(message.contains("cart") && message.contains("500"), || {
        format!("the Deployment should name the check and the answer, but says {message}")
    })?;
    let calls = demo.lab.aws.calls_since(mark);
    let moved = calls.named("lambda", "UpdateAlias").count();
    ensure(moved == 4, || {
        format!("both aliases should move to r2 and back, but there were {moved} moves")
    })?;
    let below = format!("{bucket}/{PREFIX}");
    let written = calls.writes();
    let written = written.only(|call| call.resource.starts_with(&below));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for call in written.iter() {
        *counts.entry(call.operation.clone()).or_default() += 1;
    }
    ensure(!counts.is_empty(), || {
        "the files should be written, too".to_owned()
    })?;
    verified(format!(
        "both aliases moved to r2 and back; writes to the files: {}",
        in_words(&counts)
    ));
    for function in FUNCTIONS {
        let answer = demo.lab.invoke("dev", function, Some("live"))?;
        ensure(answer["version"] == "r1", || {
            format!("{function} should answer r1, but answers {answer}")
        })?;
        verified(format!("{function}:live answers {answer}"));
    }
    let after = demo.lab.files("dev", PREFIX)?;
    ensure(after == before, || {
        format!("the files should be restored to {before:?}, but are {after:?}")
    })?;
    verified(format!(
        "every file has the bytes, content type and metadata of r1: {}",
        listed(&after)
    ));
    demo.show(&["get", "sdep,srel,stgt", "--namespace", NAME])
}

fn push(demo: &Demo, team: &Tenant, release: &str, cart: &[u8]) {
    let page = format!("<script src=app.{release}.js></script>");
    let code = format!("greet('{release}')");
    let script = format!("public/app.{release}.js");
    let files: [(&str, &[u8]); 3] = [
        ("public/index.html", page.as_bytes()),
        ("public/style.css", release.as_bytes()),
        (&script, code.as_bytes()),
    ];
    let api = package(release);
    let jobs = vec![
        JobSpec::new("package", "package").ends(JobEnd::uploads(zip(&[
            ("dist/api.zip", &api),
            ("dist/cart.zip", cart),
        ]))),
        JobSpec::new("build-site", "package").ends(JobEnd::uploads(zip(&files))),
    ];
    let gitlab = &demo.lab.gitlab;
    gitlab.push(team.project, "main", &format!("Release {release}"));
    let pipeline = gitlab.run_pipeline(team.project, "main", jobs);
    say(&format!(
        "push to {}: pipeline {pipeline} passes with api, cart and site of {release}",
        team.path
    ));
}

fn fails_behind_alias() -> Vec<u8> {
    package_of(
        "def handler(event, context):\n    \
         served = context.invoked_function_arn.endswith(':live')\n    \
         return {'statusCode': 500 if served else 200, 'version': 'r2'}\n",
    )
}

fn listed(files: &Files) -> String {
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    names.join(", ")
}
