//! Checks that Sluice evaluates during a bake, and final bakes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use aws_sdk_cloudwatch::types::MetricDatum;
use axum::{Router, http::StatusCode, routing::get};
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_lab::{
    lab::{HUB_REGION, package_of, wait_for},
    runtime,
};

use super::{
    aws_state::{alarm, routed, wait_routed},
    run,
    scene::{NAME, Scene, condition_in, conditions, smoke},
};

/// A page that answers with a configurable status, on an address that the controller may request.
pub struct Page {
    pub url: String,
    status: Arc<AtomicU16>,
}

impl Page {
    pub fn open(status: u16) -> Self {
        let status = Arc::new(AtomicU16::new(status));
        let current = Arc::clone(&status);
        let answer = move || async move {
            let status = StatusCode::from_u16(current.load(Ordering::SeqCst)).unwrap();
            (status, "{\"status\": \"up\"}")
        };
        let router = Router::new().route("/health", get(answer));
        let listener = run(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let url = format!("http://{}/health", listener.local_addr().unwrap());
        runtime::handle().spawn(async move { axum::serve(listener, router).await });
        Self { url, status }
    }

    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

/// A Deployment to dev with these checks and a final bake of that length.
fn with_final_bake(scene: &Scene<'_>, bake: &str, checks: &Value) -> Value {
    let mut wanted = scene.deployment(&["dev"]);
    let stage = &mut wanted["spec"]["stages"][0];
    stage["rollout"] = json!({"allAtOnce": {}, "finalBake": bake});
    stage["checks"] = checks.clone();
    wanted
}

#[test]
fn failed_http_check_rolls_the_release_back() {
    let scene = Scene::new("page");
    let page = Page::open(204);
    let check = json!([{"name": "page", "http": {
        "url": page.url, "expectedStatus": ["2xx", 418], "bodyPattern": "up"}}]);
    page.answers(418);
    scene.push("v1");
    scene.apply(&with_final_bake(&scene, "3s", &check));
    scene.delivered(1);
    page.answers(503);
    scene.push("v2");
    let parts = [
        "check page failed",
        &page.url,
        "answered 503, not 2xx or 418",
    ];
    scene.stalled("RolledBack", &parts);
    scene.still_serves("dev", "v1");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1");
    page.answers(200);
    scene.push("v3");
    scene.delivered(3);
    scene.serves("dev", "v3");
}

#[test]
fn http_check_never_requests_a_disallowed_network() {
    let scene = Scene::new("page-inside");
    let check = json!([{"name": "page", "http": {"url": "http://127.0.0.2:80/"}}]);
    let mut wanted = with_final_bake(&scene, "1s", &check);
    wanted["spec"]["progressDeadline"] = json!("10s");
    scene.push("v1");
    scene.apply(&wanted);
    scene.stalled("RolledBack", &["check page", "127.0.0.2", "loopback"]);
}

#[test]
fn alarm_during_the_final_bake_rolls_back() {
    let scene = Scene::new("final-bake");
    let alarm = alarm(&scene, "dev");
    let check = json!([{"name": "errors", "alarms": {"names": [alarm.name]}}]);
    scene.push("v1");
    scene.apply(&with_final_bake(&scene, "2s", &check));
    scene.delivered(1);
    scene.apply(&with_final_bake(&scene, "24h", &check));
    wait_routed(&scene, "dev", "1");
    scene.annotate("sluice.dev/promote", "nothing has changed but the bake");
    scene.delivered(2);
    scene.push("v2");
    wait_routed(&scene, "dev", "2");
    scene.wait(NAME, "the checks are evaluated", |deployment| {
        let ready = condition_in(conditions(deployment), "Ready")?;
        let traffic = scene.target("dev").status?.run?.traffic?;
        (ready.status == "Unknown" && traffic.weight == 100 && traffic.evaluations > 0)
            .then_some(())
    });
    alarm.turn_red("the test says so").unwrap();
    scene.stalled("RolledBack", &["check errors failed", "the test says so"]);
    scene.still_serves("dev", "v1");
    assert_eq!(routed(&scene, "dev", &scene.function()), "1");
}

#[test]
fn invoke_check_repeats_and_every_answer_counts() {
    let scene = Scene::new("repeats");
    let mut check = smoke();
    check["invoke"]["repeats"] = json!(4);
    let mut wanted = scene.deployment(&["dev"]);
    wanted["spec"]["stages"][0]["checks"] = json!([check]);
    let mark = scene.environment.lab.aws.mark();
    scene.push("v1");
    scene.apply(&wanted);
    scene.delivered(1);
    let calls = scene.lambda_calls(mark);
    // Four before traffic, and four through the alias.
    assert_eq!(calls.named("lambda", "Invoke").count(), 8);
    // A function that counts its invocations in the sandbox's files.
    let third = package_of(
        "import os, tempfile\n\n\n\
         def handler(event, context):\n\
         \x20   path = os.path.join(tempfile.gettempdir(), context.function_name + '-' + context.function_version)\n\
         \x20   with open(path, 'a') as file:\n\
         \x20       file.write('.')\n\
         \x20   times = os.path.getsize(path)\n\
         \x20   return {'statusCode': 200 if times < 3 else 500}\n",
    );
    scene.push_package(&third);
    scene.stalled("RolledBack", &["(invocation 3 of 4)", "/statusCode is 500"]);
    scene.still_serves("dev", "v1");
}

/// Publishes one value per minute of a metric, for as long as a test may take.
fn publish(scene: &Scene<'_>, name: &str, value: f64) {
    let id = scene.environment.lab.account_id("dev").unwrap();
    let config = scene.environment.lab.aws.sdk_config(id, HUB_REGION);
    let watch = aws_sdk_cloudwatch::Client::new(&config);
    let now = Timestamp::now().as_second();
    let datum = |minute: i64| {
        let at = aws_sdk_cloudwatch::primitives::DateTime::from_secs(now + 60 * minute);
        MetricDatum::builder()
            .metric_name(name)
            .timestamp(at)
            .value(value)
            .build()
    };
    let request = watch
        .put_metric_data()
        .namespace(&scene.team.namespace)
        .set_metric_data(Some((-2..12).map(datum).collect()));
    run(request.send()).expect("the metric is published");
}

/// Sluice evaluates a metric over whole minutes, and CloudWatch may lag by two: hence the shortest bake and
/// the duration of this test.
#[test]
fn metric_out_of_bounds_rolls_the_release_back() {
    const MINUTES: Duration = Duration::from_mins(8);
    let scene = Scene::new("metric");
    publish(&scene, "Good", 1.0);
    publish(&scene, "Bad", 7.0);
    let metric = |name: &str| {
        json!([{"name": "errors", "metric": {
            "metricStat": {
                "namespace": scene.team.namespace, "metricName": name, "statistic": "Average"},
            "threshold": {"max": 5}}}])
    };
    let named = |name: &str, bake: &str| {
        let mut wanted = with_final_bake(&scene, bake, &metric(name));
        wanted["metadata"]["name"] = json!(name.to_lowercase());
        let function = format!("{}-{}", scene.team.namespace, name.to_lowercase());
        wanted["spec"]["components"][0]["lambda"]["functionName"] = json!(function);
        wanted
    };
    scene.push("v1");
    scene.apply(&named("Short", "3m"));
    scene.apply(&named("Good", "4m"));
    scene.apply(&named("Bad", "4m"));
    let parts = [
        "checks[errors].metric.period",
        "a bake of 3m is too short",
        "at least 4m",
    ];
    scene.stalled_of("short", "PreflightFailed", &parts);
    let api = scene.api::<sluice::api::v1alpha1::Deployment>();
    let ready = |name: &str| {
        wait_for(&format!("{name} has a verdict"), MINUTES, || {
            let deployment = run(api.get(name)).map_err(|e| e.to_string())?;
            let ready = condition_in(conditions(&deployment), "Ready")
                .cloned()
                .ok_or_else(|| "no Ready".to_owned())?;
            match ready.reason.as_str() {
                "Delivered" | "RolledBack" => Ok(ready),
                _ => Err(format!("{ready:?}")),
            }
        })
        .unwrap_or_else(|e| panic!("{e}\n{}", scene.log()))
    };
    let bad = ready("bad");
    assert_eq!(bad.reason, "RolledBack", "{}", bad.message);
    super::scene::assert_contains(&bad.message, &["check errors failed", "7", "5"]);
    let good = ready("good");
    assert_eq!(good.reason, "Delivered", "{}", good.message);
    let function = format!("{}-good", scene.team.namespace);
    scene.answers("dev", &function, Some("live"), "v1");
}
