//! A release that is no good, and the peace after it.

use serde_json::json;
use sluice_lab::{
    error::LabError,
    gitlab::RequestRecord,
    lab::{condition_of, package_answering},
};

use super::{
    story::{DEPLOYMENT, FUNCTION, LIMIT, NAMESPACE, Story, ensure, writes},
    tell::{say, seen},
};

/// How often GitLab must have been polled before the rest counts.
const POLLS: usize = 3;

/// v3 answers with an error: dev is restored to v2, prod never hears of it.
pub fn put_back(story: &mut Story) -> Result<(), LabError> {
    let package = package_answering(&json!({"statusCode": 500, "version": "v3"}));
    let v3 = story.push("v3", "Answer v3 (and 500)", package)?;
    let object = story.follow("v3 is refused and dev is restored", |object| {
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
        format!("Available should be True, because v2 serves, but is {available}")
    })?;

    story.answers("dev", Some("live"), "v2")?;
    story.answers("dev", None, "v2")?;
    story.answers("prod", Some("live"), "v2")?;
    let calls = story.lab.aws.calls_since(v3.mark);
    let in_dev = writes(&calls, story.lab.account_id("dev")?);
    let moved = in_dev.named("lambda", "UpdateAlias").count();
    ensure(moved == 0, || {
        format!("the alias should never have moved, but did {moved} times")
    })?;
    seen(format!(
        "the alias in dev never moved; what was written there: {}",
        in_dev.names().join(", ")
    ));
    let in_prod = writes(&calls, story.lab.account_id("prod")?);
    ensure(in_prod.is_empty(), || {
        format!("prod should not be touched, but was: {:?}", in_prod.names())
    })?;
    seen(format!("calls that write to {FUNCTION} in prod: none"));
    story.show(&["get", "sdep,srel,stgt", "--namespace", NAMESPACE])?;
    story.describe("sdep", DEPLOYMENT)
}

/// While there is nothing new, AWS is left alone and GitLab answers 304.
pub fn rest(story: &Story) -> Result<(), LabError> {
    say(&format!("waits until GitLab was polled {POLLS} times"));
    let (aws, gitlab) = (story.lab.aws.mark(), story.lab.gitlab.mark());
    let asked = story.lab.wait_for("GitLab is polled", LIMIT, || {
        let asked = story.lab.gitlab.requests_since(gitlab);
        let polls = asked.iter().filter(|it| is_poll(it)).count();
        if polls < POLLS {
            return Err(format!("polled {polls} times"));
        }
        Ok(asked)
    })?;
    let news: Vec<_> = asked
        .iter()
        .filter(|request| request.status.is_some_and(|status| status != 304))
        .collect();
    ensure(news.is_empty(), || {
        format!("GitLab should answer 304 to everything, but: {news:?}")
    })?;
    let calls = story.lab.aws.calls_since(aws);
    ensure(calls.is_empty(), || {
        format!(
            "AWS should be left alone, but was asked {:?}",
            calls.names()
        )
    })?;
    seen(format!(
        "{POLLS} polls, {} requests to GitLab, each conditional and answered 304; no call to AWS, \
         and neither v3 nor v4 is tried again",
        asked.len()
    ));
    Ok(())
}

/// Each poll begins with the list of pipelines.
fn is_poll(request: &RequestRecord) -> bool {
    request.status.is_some() && request.path.ends_with("/pipelines")
}
