//! A Release that fails its check, and an idle controller.

use serde_json::json;
use sluice_lab::{
    error::LabError,
    gitlab::RequestRecord,
    lab::{condition_of, package_answering},
};

use super::{
    story::{DEPLOYMENT, Demo, FUNCTION, LIMIT, NAMESPACE, ensure, writes},
    tell::{say, verified},
};

/// How many polls of GitLab an idle period must cover.
const POLLS: usize = 3;

/// v3 answers with status 500: dev is restored to v2, and prod is never touched.
pub fn roll_back_failed_check(demo: &mut Demo) -> Result<(), LabError> {
    let package = package_answering(&json!({"statusCode": 500, "version": "v3"}));
    let v3 = demo.push("v3", "Answer v3 (and 500)", package)?;
    let object = demo.follow("v3 fails its check and dev is restored", |object| {
        let status = &object["status"];
        match condition_of(object, "Ready") {
            Some(ready) if ready["status"] == "False" && status["newestRevision"] == 3 => Ok(()),
            other => Err(format!(
                "newestRevision is {} and Ready is {other:?}",
                status["newestRevision"]
            )),
        }
    })?;
    let live = &object["status"]["live"];
    ensure(live == "dev=r2 prod=r2", || {
        format!("live should be dev=r2 prod=r2, but is {live}")
    })?;
    let condition = |type_| condition_of(&object, type_).cloned().unwrap_or_default();
    let message = condition("Ready")["message"].to_string();
    ensure(message.contains("smoke") && message.contains("500"), || {
        format!("the Deployment should name the check and the answer, but says {message}")
    })?;
    let available = condition("Available");
    ensure(available["status"] == "True", || {
        format!("Available should be True because v2 serves, but is {available}")
    })?;

    demo.expect_answer("dev", Some("live"), "v2")?;
    demo.expect_answer("dev", None, "v2")?;
    demo.expect_answer("prod", Some("live"), "v2")?;
    let calls = demo.lab.aws.calls_since(v3.mark);
    let in_dev = writes(&calls, demo.lab.account_id("dev")?);
    let moved = in_dev.named("lambda", "UpdateAlias").count();
    ensure(moved == 0, || {
        format!("the alias in dev should never move, but moved {moved} times")
    })?;
    verified(format!(
        "the alias in dev never moved; writes to Lambda in dev: {}",
        in_dev.names().join(", ")
    ));
    let in_prod = writes(&calls, demo.lab.account_id("prod")?);
    ensure(in_prod.is_empty(), || {
        format!(
            "prod should not be written to, but was: {:?}",
            in_prod.names()
        )
    })?;
    verified(format!("writes to {FUNCTION} in prod: none"));
    demo.show(&["get", "sdep,srel,stgt", "--namespace", NAMESPACE])?;
    demo.describe("sdep", DEPLOYMENT)
}

/// Without a new pipeline, Sluice makes no AWS call and GitLab answers 304.
pub fn stay_idle(demo: &Demo) -> Result<(), LabError> {
    say(&format!(
        "waiting until Sluice has polled GitLab {POLLS} times"
    ));
    let (aws, gitlab) = (demo.lab.aws.mark(), demo.lab.gitlab.mark());
    let requests = demo.lab.wait_for("GitLab is polled", LIMIT, || {
        let requests = demo.lab.gitlab.requests_since(gitlab);
        let polls = requests.iter().filter(|it| is_poll(it)).count();
        if polls < POLLS {
            return Err(format!("polled {polls} times"));
        }
        Ok(requests)
    })?;
    let changed: Vec<_> = requests
        .iter()
        .filter(|request| request.status.is_some_and(|status| status != 304))
        .collect();
    ensure(changed.is_empty(), || {
        format!("GitLab should answer 304 to every request, but answered: {changed:?}")
    })?;
    let calls = demo.lab.aws.calls_since(aws);
    ensure(calls.is_empty(), || {
        format!(
            "Sluice should make no AWS call, but made {:?}",
            calls.names()
        )
    })?;
    verified(format!(
        "{POLLS} polls took {} conditional requests to GitLab, all answered 304; Sluice made no AWS call \
         and retried neither v3 nor v4",
        requests.len()
    ));
    Ok(())
}

/// Each poll begins with the list of pipelines.
fn is_poll(request: &RequestRecord) -> bool {
    request.status.is_some() && request.path.ends_with("/pipelines")
}
