//! Two functions and a site that move as one.

use std::collections::BTreeMap;

use sluice_lab::{
    error::LabError,
    gitlab::{JobEnd, JobSpec, zip},
    lab::{SiteFile, Tenant, condition_of, package, package_of},
};

use super::{
    story::{LIMIT, Story, ensure, in_words},
    tell::{say, seen},
};

const MANIFEST: &str = include_str!("storefront.yaml");
/// The namespace and its Deployment, as in `storefront.yaml`.
pub const NAME: &str = "storefront";
const FUNCTIONS: [&str; 2] = ["storefront-api", "storefront-cart"];
/// Below this are the files, in dev's bucket.
const PREFIX: &str = "storefront/";

type Files = BTreeMap<String, SiteFile>;

/// r2's cart is well by its number and broken behind its alias: that shows once everything has moved,
/// and both functions and every file are as before.
pub fn put_back(story: &Story) -> Result<(), LabError> {
    let team = story.lab.create_tenant(NAME, "shop/storefront")?;
    let bucket = story.lab.site_bucket("dev")?;
    story.lab.apply(&MANIFEST.replace("BUCKET", bucket))?;
    push(story, &team, "r1", &package("r1"));
    follow(story, "r1 is live", |object| {
        (object["status"]["live"] == "dev=r1").then_some(())
    })?;
    let before = story.lab.files("dev", PREFIX)?;
    seen(format!("s3://{bucket}/{PREFIX}: {}", listed(&before)));

    let mark = story.lab.aws.mark();
    push(story, &team, "r2", &broken_behind_its_alias());
    let object = follow(story, "r2 is rolled back", |object| {
        let ready = condition_of(object, "Ready")?;
        (ready["reason"] == "RolledBack").then(|| object.clone())
    })?;
    let message = condition_of(&object, "Ready").map(|ready| ready["message"].to_string());
    let message = message.unwrap_or_default();
    ensure(message.contains("cart") && message.contains("500"), || {
        format!("the Deployment should name the check and the answer, but says {message}")
    })?;
    let calls = story.lab.aws.calls_since(mark);
    let moved = calls.named("lambda", "UpdateAlias").count();
    ensure(moved == 4, || {
        format!("both aliases should move there and back, but there were {moved} moves")
    })?;
    let below = format!("{bucket}/{PREFIX}");
    let written = calls.writes();
    let written = written.only(|call| call.resource.starts_with(&below));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for call in written.iter() {
        *counts.entry(call.operation.clone()).or_default() += 1;
    }
    ensure(!counts.is_empty(), || {
        "the files should have moved, too".to_owned()
    })?;
    seen(format!(
        "both aliases moved there and back, and so did the files: {}",
        in_words(&counts)
    ));
    for function in FUNCTIONS {
        let answer = story.lab.invoke("dev", function, Some("live"))?;
        ensure(answer["version"] == "r1", || {
            format!("{function} should answer r1, but answers {answer}")
        })?;
        seen(format!("{function}:live answers {answer}"));
    }
    let after = story.lab.files("dev", PREFIX)?;
    ensure(after == before, || {
        format!("the files should be as they were: {before:?}, but are {after:?}")
    })?;
    seen(format!(
        "every file has its former bytes, type and metadata: {}",
        listed(&after)
    ));
    story.show(&["get", "sdep,srel,stgt", "--namespace", NAME])
}

fn push(story: &Story, team: &Tenant, release: &str, cart: &[u8]) {
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
    let gitlab = &story.lab.gitlab;
    gitlab.push(team.project, "main", &format!("Release {release}"));
    let pipeline = gitlab.run_pipeline(team.project, "main", jobs);
    say(&format!(
        "push to {}: pipeline {pipeline} passes and has built api, cart and site of {release}",
        team.path
    ));
}

fn broken_behind_its_alias() -> Vec<u8> {
    package_of(
        "def handler(event, context):\n    \
         served = context.invoked_function_arn.endswith(':live')\n    \
         return {'statusCode': 500 if served else 200, 'version': 'r2'}\n",
    )
}

fn follow<T>(
    story: &Story,
    what: &str,
    done: impl Fn(&serde_json::Value) -> Option<T>,
) -> Result<T, LabError> {
    say(&format!("waits until {what}"));
    let mut told = String::new();
    story.lab.wait_for(what, LIMIT, || {
        let object = story.lab.get_json("deployment", Some(NAME), NAME);
        let object = object.map_err(|e| e.to_string())?;
        let summary = object["status"]["summary"].as_str().unwrap_or_default();
        if !summary.is_empty() && summary != told {
            summary.clone_into(&mut told);
            say(&format!("  {NAME}: {summary}"));
        }
        done(&object).ok_or_else(|| object["status"].to_string())
    })
}

fn listed(files: &Files) -> String {
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    names.join(", ")
}
