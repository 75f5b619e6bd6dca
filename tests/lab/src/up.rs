//! `make lab`: a running lab with one delivered Release, to try things by hand.

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
/// The limit for the first delivery.
const LIMIT: Duration = Duration::from_mins(1);

/// Starts the lab with data and logs in `dir`, prints how to use it, and runs until Ctrl-C.
pub fn up(dir: &Path) -> Result<(), LabError> {
    println!(
        "lab: starts Kubernetes, AWS, GitLab and Sluice in about 20 seconds, and runs until Ctrl-C"
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
    println!("lab: v1 of checkout is live in dev and prod\n");
    println!("{}", manual(&lab, &team)?);
    runtime::handle().block_on(tokio::signal::ctrl_c())?;
    println!("\nlab: stopped");
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

Deployments, Releases and Targets:

  kubectl --namespace {NAMESPACE} get sdep,srel,stgt
  kubectl --namespace {NAMESPACE} describe sdep checkout

Invoke the function in dev (account {dev}; prod is {prod}; the access key of root is the account's id):

  curl --aws-sigv4 aws:amz:{HUB_REGION}:lambda --user {dev}:root --data '{{}}' \
    "$AWS/2015-03-31/functions/checkout-api/invocations?Qualifier=live"

Deliver a new version: push a commit, run a pipeline, and finish its job with an artifact:

  printf 'def handler(event, context):\n    return {{"statusCode": 200, "version": "mine"}}\n' > app.py
  python3 -m zipfile --create api.zip app.py
  curl --data '{{"project": "{path}", "branch": "main", "message": "Mine"}}' $GITLAB/_lab/push
  curl --data '{{"project": "{path}", "ref": "main", "jobs": [
    {{"name": "test", "stage": "test", "ends": "success"}}, {{"name": "package", "stage": "package"}}]}}' \
    $GITLAB/_lab/pipelines
  curl --data-binary @api.zip "$GITLAB/_lab/jobs/<id of the job package>/finish?path=dist/api.zip"

Behind the scenes:

  curl $GITLAB/_lab/requests           requests to GitLab
  curl $AWS/_lab/calls                 calls to AWS
  curl --data '{{"on": {{"service": "lambda", "operation": "UpdateAlias"}}, "times": 1, "action": "loseReply"}}' \
    $AWS/_lab/faults                   a fault for the next matching call
  curl --header 'PRIVATE-TOKEN: {token}' $GITLAB/api/v4/projects/shop%2Fcheckout/pipelines
  curl http://127.0.0.1:{metrics}/metrics

Logs are in {dir}. Ctrl-C stops the lab.
"#,
        kubeconfig = kubeconfig.display(),
        bin = bin.display().to_string().trim_end_matches('/'),
        dir = dir.display(),
    ))
}
