//! A SAM application, from `sam build` in a GitLab job to stacks in two accounts.

use sluice_lab::{
    error::LabError,
    gitlab::{JobEnd, JobSpec, zip},
    kube::User,
    lab::HUB_REGION,
    runtime,
};

use super::{
    story::{Demo, ensure, plan_of},
    tell::{block, say, shown, verified},
};

const MANIFEST: &str = include_str!("application.yaml");
/// The namespace and its Deployment, as in `application.yaml`.
pub const NAME: &str = "hello";
/// The manual job of the pipeline.
const JOB: &str = "approve-prod";
const TEMPLATE: &str = "Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String}
Resources:
  HelloFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Ref AWS::StackName
      CodeUri: HelloFunction # a folder beside the template
      Handler: app.handler
      Runtime: python3.13
      AutoPublishAlias: live
      Environment: {Variables: {STAGE: !Ref Stage}}
";
const CODE: &str = "import os
def handler(event, context):
    return {'version': 'v1', 'stage': os.environ['STAGE']}
";

/// Dev gets its stack at once, and prod the same files once a person starts the manual job.
pub fn deliver(demo: &Demo) -> Result<(), LabError> {
    let team = demo.lab.create_tenant(NAME, "shop/hello")?;
    say("a job of the pipeline has run sam build; its template has a local path:");
    block(TEMPLATE);
    demo.lab.apply(MANIFEST)?;
    let gitlab = &demo.lab.gitlab;
    gitlab.push(team.project, "main", "Hello");
    let built = zip(&[
        (".aws-sam/build/template.yaml", TEMPLATE.as_bytes()),
        (".aws-sam/build/HelloFunction/app.py", CODE.as_bytes()),
    ]);
    let jobs = vec![
        JobSpec::new("build", "package").ends(JobEnd::uploads(built)),
        JobSpec::new(JOB, "approve").manual_blocking(),
    ];
    let pipeline = gitlab.run_pipeline(team.project, "main", jobs);
    demo.follow_of(NAME, "dev has its stack, and prod waits", |object| {
        let waiting = &object["status"]["stages"][1]["waiting"]["message"];
        match waiting.as_str() {
            Some(message) if message.contains("start the manual job") => Ok(()),
            other => Err(format!("prod waits with {other:?}")),
        }
    })?;
    expect_answer(demo, "dev")?;
    let (command, plan) = plan_of(demo, User::Admin, (NAME, "prod"))?;
    ensure(plan.contains("HelloFunction"), || {
        format!("the plan should have the resources of the stack, but is {plan}")
    })?;
    say("CloudFormation has computed the plan for prod, which waits for approval:");
    shown(&command, &plan);

    let job = gitlab.job(pipeline, JOB);
    gitlab.play(job, gitlab.create_user("cleo"));
    gitlab.finish_job(job, JobEnd::success());
    say(&format!("cleo starts the job {JOB} in GitLab"));
    demo.follow_of(
        NAME,
        "prod has its stack",
        |object| match object["status"]["live"].as_str() {
            Some("dev=r1 prod=r1") => Ok(()),
            other => Err(format!("live is {other:?}")),
        },
    )?;
    expect_answer(demo, "prod")?;
    let (dev, prod) = (code_of(demo, "dev")?, code_of(demo, "prod")?);
    ensure(dev == prod, || {
        format!("both accounts should run the same code, but run {dev} and {prod}")
    })?;
    verified(format!(
        "both accounts run the same package (SHA-256 {}…), from their own buckets",
        &dev[..12]
    ));
    demo.show(&["get", "sdep,srel,stgt", "--namespace", NAME])
}

fn function(stage: &str) -> String {
    format!("lab-hello-{stage}")
}

fn expect_answer(demo: &Demo, stage: &str) -> Result<(), LabError> {
    let answer = demo.lab.invoke(stage, &function(stage), Some("live"))?;
    ensure(
        answer["version"] == "v1" && answer["stage"] == stage,
        || {
            format!(
                "{} should answer v1 of {stage}, but answers {answer}",
                function(stage)
            )
        },
    )?;
    verified(format!("{}:live answers {answer}", function(stage)));
    Ok(())
}

/// The digest of the code behind the alias.
fn code_of(demo: &Demo, stage: &str) -> Result<String, LabError> {
    let lambda = demo.lab.lambda(stage, HUB_REGION)?;
    let call = lambda
        .get_function_configuration()
        .function_name(function(stage))
        .qualifier("live");
    let found = runtime::handle()
        .block_on(call.send())
        .map_err(|e| LabError::new(format!("{} in {stage}: {e:?}", function(stage))))?;
    Ok(found.code_sha256.unwrap_or_default())
}
