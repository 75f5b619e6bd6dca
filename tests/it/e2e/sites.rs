//! Files in a bucket: uploaded in order, removed in the end, and restored byte for byte.

use std::collections::BTreeMap;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use sluice::api::v1alpha1::{Deployment, annotation};
use sluice_lab::{
    aws::{Action, Pattern, Rule},
    gitlab::{JobEnd, JobSpec, zip},
    lab::{SiteFile, package, package_of, wait_for},
};

use super::{
    LIMIT,
    garbage_collection::{kept, kept_in},
    run,
    scene::{NAME, Scene, gone, smoke},
};

type Files<'a> = [(&'a str, &'a str)];

const FIRST: &Files<'_> = &[
    ("assets/app.js", "one"),
    ("assets/gone.svg", "<svg/>"),
    ("index.html", "<p>one"),
];
const SECOND: &Files<'_> = &[
    ("assets/app.js", "two"),
    ("assets/new.css", "body{}"),
    ("index.html", "<p>two"),
];

/// A function and a site in dev, under the team's prefix.
fn both(scene: &Scene<'_>) -> Value {
    let mut wanted = site_only(scene);
    let function = scene.deployment(&["dev"])["spec"].clone();
    let list = |value: &Value| value.as_array().unwrap().clone();
    for field in ["artifacts", "components"] {
        let mut all = list(&function[field]);
        all.extend(list(&wanted["spec"][field]));
        wanted["spec"][field] = json!(all);
    }
    wanted["spec"]["stages"][0]["checks"] = json!([smoke()]);
    wanted
}

fn site_only(scene: &Scene<'_>) -> Value {
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["artifacts"] = json!([{"name": "site", "job": {"name": "build-site"}}]);
    wanted["spec"]["components"] = json!([{
        "name": "site",
        "s3": {
            "bucket": scene.environment.lab.site_bucket("dev").unwrap(),
            "prefix": scene.team.namespace,
            "artifact": "site",
            "path": "public/",
        },
    }]);
    wanted
}

/// A pipeline that builds that function and these files.
fn push(scene: &Scene<'_>, function: &[u8], files: &Files<'_>) {
    let gitlab = &scene.environment.lab.gitlab;
    gitlab.push(scene.team.project, "main", "Change both");
    let named: Vec<(String, &[u8])> = files
        .iter()
        .map(|(path, text)| (format!("public/{path}"), text.as_bytes()))
        .chain([("README.md".to_owned(), &b"not of the site"[..])])
        .collect();
    let entries: Vec<(&str, &[u8])> = named.iter().map(|(path, text)| (&**path, *text)).collect();
    let jobs = vec![
        JobSpec::new("package", "package")
            .ends(JobEnd::uploads(zip(&[("dist/api.zip", function)]))),
        JobSpec::new("build-site", "package").ends(JobEnd::uploads(zip(&entries))),
    ];
    gitlab.run_pipeline(scene.team.project, "main", jobs);
}

fn prefix(scene: &Scene<'_>) -> String {
    format!("{}/", scene.team.namespace)
}

/// All files below the prefix.
fn files(scene: &Scene<'_>) -> BTreeMap<String, SiteFile> {
    scene.environment.lab.files("dev", &prefix(scene)).unwrap()
}

fn texts(scene: &Scene<'_>) -> Vec<(String, String)> {
    let text = |(path, file): (String, SiteFile)| (path, file.text);
    files(scene).into_iter().map(text).collect()
}

fn owned(files: &Files<'_>) -> Vec<(String, String)> {
    let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    files.iter().map(owned).collect()
}

/// The writes to the team's files since that mark, as `operation path`.
fn writes(scene: &Scene<'_>, mark: usize) -> Vec<String> {
    let bucket = scene.environment.lab.site_bucket("dev").unwrap();
    let below = format!("{bucket}/{}", prefix(scene));
    let calls = scene.environment.lab.aws.calls_since(mark);
    let calls = calls.only(|call| call.is_write() && call.resource.starts_with(&below));
    let line = |call: &sluice_lab::aws::Call| {
        let path = call.resource.strip_prefix(&below).unwrap_or_default();
        format!("{} {path}", call.operation)
    };
    calls.iter().map(line).collect()
}

/// Waits until exactly these files exist: Sluice prunes files after the stage has succeeded.
#[track_caller]
fn wait_files(scene: &Scene<'_>, wanted: &Files<'_>) {
    let found = wait_for("the files are as wanted", LIMIT, || {
        let found = texts(scene);
        if found == owned(wanted) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    found.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
}

#[test]
fn files_have_content_types_and_pages_are_uploaded_last() {
    let scene = Scene::new("site-types");
    let mut wanted = site_only(&scene);
    wanted["spec"]["components"][0]["s3"]["path"] = json!("./public");
    wanted["spec"]["components"][0]["s3"]["contentTypes"] =
        json!([{"match": "feeds/*", "value": "application/rss+xml; charset=utf-8"}]);
    let names = [
        ".well-known/apple-app-site-association",
        "about.htm",
        "app.js",
        "feeds/news",
        "index.html",
        "legal.xhtml",
        "logo.svgz",
    ];
    let both = |text: &'static str| names.map(|name| (name, text));
    push(&scene, &package("v1"), &both("one"));
    scene.apply(&wanted);
    scene.delivered(1);
    let found = files(&scene);
    let types: Vec<&str> = names
        .iter()
        .map(|name| &*found[*name].content_type)
        .collect();
    let expected = [
        "application/json",
        "text/html; charset=utf-8",
        "text/javascript; charset=utf-8",
        "application/rss+xml; charset=utf-8",
        "text/html; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
    ];
    assert_eq!(types, expected);
    let s3 = scene.environment.lab.s3("dev").unwrap();
    let bucket = scene.environment.lab.site_bucket("dev").unwrap();
    let key = format!("{}logo.svgz", prefix(&scene));
    let head = run(s3.head_object().bucket(bucket).key(key).send()).unwrap();
    assert_eq!(head.content_encoding(), Some("gzip"));

    let mark = scene.environment.lab.aws.mark();
    push(&scene, &package("v1"), &both("two"));
    scene.delivered(2);
    let written = writes(&scene, mark);
    let is_page = |line: &String| {
        let pages = ["about.htm", "index.html", "legal.xhtml"];
        pages.iter().any(|page| line.ends_with(page))
    };
    let pages: Vec<bool> = written.iter().map(is_page).collect();
    assert_eq!(pages.len(), 7);
    assert!(pages.is_sorted(), "{written:?}");
}

#[test]
fn site_is_uploaded_and_pruned_in_order_and_other_files_stay() {
    let scene = Scene::new("site-order");
    let own = format!("{}own.txt", prefix(&scene));
    scene
        .environment
        .lab
        .put_file("dev", &own, "not Sluice's")
        .unwrap();
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &package("v1"), FIRST);
    scene.apply(&site_only(&scene));
    scene.delivered(1);
    let mut all = FIRST.to_vec();
    all.push(("own.txt", "not Sluice's"));
    assert_eq!(texts(&scene), owned(&all));
    let found = files(&scene);
    let html = "text/html; charset=utf-8";
    assert_eq!(found["index.html"].content_type, html);
    assert_eq!(found["assets/gone.svg"].content_type, "image/svg+xml");
    let written = writes(&scene, mark);
    assert_eq!(written.last().unwrap(), "PutObject index.html");
    assert_eq!(written.len(), 3);

    let mark = scene.environment.lab.aws.mark();
    push(&scene, &package("v1"), SECOND);
    scene.delivered(2);
    let mut all = SECOND.to_vec();
    all.push(("own.txt", "not Sluice's"));
    wait_files(&scene, &all);
    let order = [
        "PutObject assets/new.css",
        "PutObject assets/app.js",
        "PutObject index.html",
    ];
    assert_eq!(writes(&scene, mark)[..3], order);

    // Another archive of the same files: Sluice writes nothing.
    let mark = scene.environment.lab.aws.mark();
    let mut order = SECOND.to_vec();
    order.reverse();
    push(&scene, &package("v1"), &order);
    scene.delivered(3);
    assert_eq!(writes(&scene, mark), Vec::<String>::new());
}

#[test]
fn plan_of_many_files_is_truncated_and_stored_whole() {
    let scene = Scene::new("site-many");
    let names: Vec<String> = (0..110).map(|n| format!("page-{n:03}.txt")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "text")).collect();
    push(&scene, &package("v1"), &many);
    scene.apply(&site_only(&scene));
    scene.delivered(1);
    let plan = scene.target("dev").status.unwrap().plan.unwrap();
    assert_eq!((plan.changes.len(), plan.omitted), (100, 10));
    let stored = plan.stored.unwrap();
    let all = kept(&scene, &stored.key);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 110);
    let last = format!("/{}{}", prefix(&scene), names[109]);
    assert!(
        all[109]["resource"].as_str().unwrap().ends_with(&last),
        "{last}"
    );
}

/// A function that answers well by its version and badly through the alias: it fails once all traffic has
/// moved.
fn bad_behind_the_alias() -> Vec<u8> {
    package_of(
        "def handler(event, context):\n    \
         bad = context.invoked_function_arn.endswith(':live')\n    \
         return {'statusCode': 500 if bad else 200, 'version': 'bad'}\n",
    )
}

#[test]
fn failure_of_the_function_restores_the_site_byte_for_byte() {
    let scene = Scene::new("site-back");
    push(&scene, &package("v1"), FIRST);
    scene.apply(&both(&scene));
    scene.delivered(1);
    let before = files(&scene);
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &bad_behind_the_alias(), SECOND);
    scene.stalled("RolledBack", &["check smoke failed", "/statusCode is 500"]);
    let moved = "PutObject index.html".to_owned();
    assert!(writes(&scene, mark).contains(&moved), "it was uploaded");
    assert_eq!(files(&scene), before);
    scene.still_serves("dev", "v1");

    push(&scene, &package("v3"), SECOND);
    scene.delivered(3);
    scene.serves("dev", "v3");
    wait_files(&scene, SECOND);
}

#[test]
fn rollback_restores_removed_files() {
    let scene = Scene::new("site-rollback");
    push(&scene, &package("v1"), FIRST);
    scene.apply(&both(&scene));
    scene.delivered(1);
    let before = files(&scene);
    push(&scene, &package("v2"), SECOND);
    scene.delivered(2);
    wait_files(&scene, SECOND);
    scene.annotate(annotation::ROLLBACK, "one");
    scene.wait(NAME, "r1 serves again", |deployment| {
        let stage = deployment.status.as_ref()?.stages.first()?;
        (stage.live_revision == Some(1)).then_some(())
    });
    wait_files(&scene, FIRST);
    assert_eq!(files(&scene), before);
    scene.serves("dev", "v1");
}

#[test]
fn unmanaged_file_with_the_same_name_is_refused() {
    let scene = Scene::new("site-taken");
    let taken = format!("{}index.html", prefix(&scene));
    scene
        .environment
        .lab
        .put_file("dev", &taken, "mine")
        .unwrap();
    let mark = scene.environment.lab.aws.mark();
    push(&scene, &package("v1"), FIRST);
    scene.apply(&both(&scene));
    scene.stalled("DeliveryFailed", &[&taken, "can't be written"]);
    assert_eq!(writes(&scene, mark), Vec::<String>::new());
    assert_eq!(
        texts(&scene),
        [("index.html".to_owned(), "mine".to_owned())]
    );
    let made = scene.lambda_calls(mark).writes();
    assert_eq!(made.names(), Vec::<String>::new(), "no write to Lambda");
}

#[test]
fn deleted_deployment_removes_only_its_own_files() {
    let scene = Scene::new("site-removed");
    let own = format!("{}own.txt", prefix(&scene));
    scene.environment.lab.put_file("dev", &own, "mine").unwrap();
    push(&scene, &package("v1"), FIRST);
    let mut wanted = both(&scene);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);
    run(scene
        .api::<Deployment>()
        .delete(NAME, &DeleteParams::default()))
    .unwrap();
    gone(&scene.api::<Deployment>(), NAME);
    assert_eq!(texts(&scene), [("own.txt".to_owned(), "mine".to_owned())]);
}

#[test]
fn moved_site_is_removed_from_its_former_s3_location() {
    let scene = Scene::new("site-moves");
    push(&scene, &package("v1"), FIRST);
    let mut wanted = site_only(&scene);
    wanted["spec"]["deletionPolicy"] = json!("Delete");
    scene.apply(&wanted);
    scene.delivered(1);
    wanted["spec"]["components"][0]["s3"]["prefix"] = json!(format!("{}/v2", scene.team.namespace));
    scene.apply(&wanted);
    scene.delivered(2);
    let elsewhere: Vec<(String, &str)> = FIRST
        .iter()
        .map(|(path, text)| (format!("v2/{path}"), *text))
        .collect();
    let elsewhere: Vec<(&str, &str)> = elsewhere
        .iter()
        .map(|(path, text)| (&**path, *text))
        .collect();
    wait_files(&scene, &elsewhere);
}

#[test]
fn site_copies_are_collected_with_their_snapshot() {
    let scene = Scene::new("site-collected");
    let mut wanted = both(&scene);
    wanted["spec"]["historyLimit"] = json!(1);
    scene.apply(&wanted);
    for revision in 1..=4 {
        let files = [FIRST, SECOND][usize::from(revision % 2 == 0)];
        push(&scene, &package(&format!("v{revision}")), files);
        scene.delivered(revision);
        wait_files(&scene, files);
    }
    let left = wait_for("only the last run's copies are left", LIMIT, || {
        let kept = kept_in(&scene, "sites");
        let of = |part: &str| kept.iter().filter(|key| key.contains(part)).count();
        let left = (of("/snapshots/"), of("/copies/"));
        if left == (1, 3) {
            Ok(())
        } else {
            Err(format!("{kept:?}"))
        }
    });
    left.unwrap_or_else(|e| panic!("{e}\n{}", scene.log()));
    scene.annotate(annotation::ROLLBACK, "one");
    wait_files(&scene, FIRST);
    scene.serves("dev", "v3");
}

#[test]
fn failed_put_is_retried() {
    let scene = Scene::new("site-faults");
    push(&scene, &package("v1"), FIRST);
    scene.apply(&both(&scene));
    scene.delivered(1);
    let about = format!("{}assets/app.js", prefix(&scene));
    let put = |about: &str| Pattern::operation("s3", "PutObject").about(about);
    let faults = scene.environment.lab.aws.faults();
    let lost = faults.add(Rule::once(put(&about), Action::LoseReply));
    let page = format!("{}index.html", prefix(&scene));
    let busy = Action::respond(503, "SlowDown", "Slow down");
    let slow = faults.add(Rule::once(put(&page), busy));
    push(&scene, &package("v2"), SECOND);
    scene.delivered(2);
    wait_files(&scene, SECOND);
    scene.serves("dev", "v2");
    assert_eq!((lost.hits(), slow.hits()), (1, 1));
}
