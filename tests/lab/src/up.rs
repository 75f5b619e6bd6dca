//! `make lab`: the lab left running, with one delivered release, for trying things by hand.

use std::{path::Path, time::Duration};

use sluice_lab::{
    error::LabError,
    kube::User,
    lab::{HUB_REGION, Lab, LabOptions, Tenant, package},
    runtime,
    toolchain::Toolchain,
};

use crate::demo::{ALARM, CHECKOUT};

const NAMESPACE: &str = "shop";
/// What the audience may wait for the first release.
const LIMIT: Duration = Duration::from_mins(1);

/// Starts it with data and logs in `dir`, says how to use it, and ends by Ctrl-C.
pub fn up(dir: &Path) -> Result<(), LabError> {
    println!(
        "lab: starts Kubernetes, AWS, GitLab and Sluice on this machine; about 20 seconds, then until Ctrl-C"
    );
    let lab = Lab::start(&LabOptions {
        dir: dir.to_owned(),
        audit: true,
        namespaces: vec![NAMESPACE.to_owned()],
        progress: |line| println!("lab: {line}"),
        ..Default::default()
    })?;
    let team = lab.create_namespace(NAMESPACE)?;
    lab.pipeline(team.project, "main", "Answer v1", &package("v1"));
    lab.alarm("prod", ALARM)?;
    lab.apply(CHECKOUT)?;
    lab.wait_for_condition(
        "deployment",
        Some(NAMESPACE),
        "checkout",
        ("Ready", "True"),
        LIMIT,
    )?;
    println!("lab: v1 of checkout is delivered\n");
    println!("{}", manual(&lab, &team)?);
    runtime::handle().block_on(tokio::signal::ctrl_c())?;
    println!("\nlab: ends");
    Ok(())
}

fn manual(lab: &Lab, team: &Tenant) -> Result<String, LabError> {
    let tools = Toolchain::shared()?;
    let bin = tools.kubectl().with_file_name("");
    let (kubeconfig, dir) = (lab.kube.kubeconfig(User::Admin), &lab.dir);
    let (gitlab, aws) = (lab.gitlab.url(), lab.aws.endpoint());
    let metrics = lab.controller().port(8080)?;
    let (dev, prod) = (&lab.aws.dev().id, &lab.aws.prod().id);
    let (path, token) = (&team.path, &team.token);
    Ok(format!(
        r#"In another shell:

  export KUBECONFIG={kubeconfig} PATH="{bin}:$PATH"
  export GITLAB={gitlab} AWS={aws}

What is delivered, which Releases there are, what runs where:

  kubectl --namespace {NAMESPACE} get sdep,srel,stgt
  kubectl --namespace {NAMESPACE} describe sdep checkout

What the function answers in dev ({dev}; prod is {prod}; an account's id is the key of its root):

  curl --aws-sigv4 aws:amz:{HUB_REGION}:lambda --user {dev}:root --data '{{}}' \
    "$AWS/2015-03-31/functions/checkout-api/invocations?Qualifier=live"

A new version: a commit, a pipeline, and its job's artifact:

  printf 'def handler(event, context):\n    return {{"statusCode": 200, "version": "mine"}}\n' > app.py
  python3 -m zipfile --create api.zip app.py
  curl --data '{{"project": "{path}", "branch": "main", "message": "Mine"}}' $GITLAB/_lab/push
  curl --data '{{"project": "{path}", "ref": "main", "jobs": [
    {{"name": "test", "stage": "test", "ends": "success"}}, {{"name": "package", "stage": "package"}}]}}' \
    $GITLAB/_lab/pipelines
  curl --data-binary @api.zip "$GITLAB/_lab/jobs/<id of the job package>/finish?path=dist/api.zip"

Behind the scenes:

  curl $GITLAB/_lab/requests           what GitLab was asked
  curl $AWS/_lab/calls                 what AWS was asked
  curl --data '{{"on": {{"service": "lambda", "operation": "UpdateAlias"}}, "times": 1, "action": "loseReply"}}' \
    $AWS/_lab/faults                   a fault for calls to come
  curl --header 'PRIVATE-TOKEN: {token}' $GITLAB/api/v4/projects/shop%2Fcheckout/pipelines
  curl http://127.0.0.1:{metrics}/metrics

Logs are below {dir}. Ctrl-C ends it all.
"#,
        kubeconfig = kubeconfig.display(),
        bin = bin.display().to_string().trim_end_matches('/'),
        dir = dir.display(),
    ))
}
