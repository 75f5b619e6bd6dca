//! The shared state of the steps: the lab, the team, and the measured deliveries.

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;
use sluice_lab::{
    aws::{Call, Calls},
    error::LabError,
    gitlab::{Mark, Status},
    kube::User,
    lab::{HUB_REGION, Lab, Tenant, condition_of},
    runtime,
};

use super::tell::{block, say, shown, verified};

/// The namespace of the team.
pub const NAMESPACE: &str = "shop";
/// The Deployment, as in `checkout.yaml`.
pub const DEPLOYMENT: &str = "checkout";
/// The function, of the same name in both accounts.
pub const FUNCTION: &str = "checkout-api";
/// The accounts in the order of the stages, which have the same names.
pub const STAGES: [&str; 2] = ["dev", "prod"];
/// A delivery takes seconds; the limit allows for a busy machine.
pub const LIMIT: Duration = Duration::from_mins(1);

/// The lab, and what the steps share.
pub struct Demo {
    /// Everything that runs.
    pub lab: Lab,
    /// The team that delivers.
    pub team: Tenant,
    /// One for each Release that was measured in every stage.
    pub deliveries: Vec<Delivery>,
}

/// The measurements of one delivery.
pub struct Delivery {
    /// What the function answers.
    pub version: String,
    /// From the pipeline's success to the first request that returns it, in seconds.
    pub noticed_after: f64,
    /// From the pipeline's success to the call that made the alias serve it, by stage, in seconds.
    pub served_after: BTreeMap<&'static str, f64>,
    /// The AWS calls.
    pub calls: Calls,
}

/// A pipeline that has just succeeded, and the positions in the request logs at that time.
pub struct Pushed {
    /// What the function answers.
    pub version: String,
    /// The package.
    pub package: Vec<u8>,
    /// When the pipeline succeeded.
    pub at: Timestamp,
    /// The position in the log of AWS calls.
    pub mark: usize,
    /// The position in the log of GitLab requests.
    gitlab: Mark,
}

impl Demo {
    /// Pushes a commit and runs a pipeline that passes and builds `package`.
    pub fn push(&self, version: &str, title: &str, package: Vec<u8>) -> Result<Pushed, LabError> {
        let (mark, gitlab) = (self.lab.aws.mark(), self.lab.gitlab.mark());
        let pipeline = self
            .lab
            .pipeline(self.team.project, "main", title, &package);
        let at = Timestamp::now();
        let status = self.lab.gitlab.status(pipeline);
        ensure(status == Status::Success, || {
            format!("pipeline {pipeline} should have passed, but is {status:?}")
        })?;
        say(&format!(
            "push to {}: \"{title}\"; pipeline {pipeline} passes and has built {version}",
            self.team.path
        ));
        Ok(Pushed {
            version: version.to_owned(),
            package,
            at,
            mark,
            gitlab,
        })
    }

    /// Prints each new summary of the Deployment until `done`; returns the Deployment.
    pub fn follow(
        &self,
        what: &str,
        done: impl Fn(&Value) -> Result<(), String>,
    ) -> Result<Value, LabError> {
        let found = |object: &Value| done(object).map(|()| object.clone());
        self.follow_in(NAMESPACE, DEPLOYMENT, what, found)
    }

    /// [`Demo::follow`] of a Deployment with the name of its namespace.
    pub fn follow_of<T>(
        &self,
        name: &str,
        what: &str,
        done: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<T, LabError> {
        self.follow_in(name, name, what, done)
    }

    fn follow_in<T>(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        done: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<T, LabError> {
        say(&format!("waiting until {what}"));
        let mut last = String::new();
        self.lab.wait_for(what, LIMIT, || {
            let object = self.lab.get_json("deployment", Some(namespace), name);
            let object = object.map_err(|e| e.to_string())?;
            let summary = object["status"]["summary"].as_str().unwrap_or_default();
            if !summary.is_empty() && summary != last {
                summary.clone_into(&mut last);
                // The step that runs the command that approves prints it.
                let line = summary.split(". To approve: ").next().unwrap_or(summary);
                say(&format!("  {name}: {line}"));
            }
            done(&object)
        })
    }

    /// Waits until the revision is live in every stage, verifies it in AWS, and records the measurements.
    pub fn expect_delivered(&mut self, pushed: Pushed, revision: u64) -> Result<(), LabError> {
        let version = &pushed.version;
        self.expect_live(version, revision)?;
        for stage in STAGES {
            self.expect_code(stage, &pushed.package)?;
        }
        let calls = self.lab.aws.calls_since(pushed.mark);
        let mut served_after = BTreeMap::new();
        for stage in STAGES {
            let at = moved_at(&calls, self.lab.account_id(stage)?).ok_or_else(|| {
                LabError::new(format!(
                    "no call moved the alias in {stage} to {version}: {:?}",
                    calls.names()
                ))
            })?;
            served_after.insert(stage, at.duration_since(pushed.at).as_secs_f64());
        }
        let requests = self.lab.gitlab.requests_since(pushed.gitlab);
        let found = requests.iter().find(|it| it.status == Some(200));
        let noticed_after = found.map_or(0.0, |it| it.at.duration_since(pushed.at).as_secs_f64());
        self.expect_prod_after_dev(&calls)?;
        self.show(&["get", "sdep,srel,stgt", "--namespace", NAMESPACE])?;
        self.deliveries.push(Delivery {
            version: pushed.version,
            noticed_after,
            served_after,
            calls,
        });
        Ok(())
    }

    /// Waits until the revision is live in every stage, and verifies what the aliases answer.
    pub fn expect_live(&self, version: &str, revision: u64) -> Result<Value, LabError> {
        let live = format!("dev=r{revision} prod=r{revision}");
        let what = format!("{version} is live in dev, then in prod ({live})");
        let object = self.follow(&what, |object| {
            let status = &object["status"];
            if status["live"] != live.as_str() {
                return Err(format!("live is {}, not {live}", status["live"]));
            }
            match condition_of(object, "Ready") {
                Some(ready) if ready["status"] == "True" => Ok(()),
                other => Err(format!("Ready is {other:?}")),
            }
        })?;
        for stage in STAGES {
            self.expect_answer(stage, Some("live"), version)?;
        }
        Ok(object)
    }

    /// Verifies that no call writes to Lambda in prod before the alias in dev serves.
    fn expect_prod_after_dev(&self, calls: &Calls) -> Result<(), LabError> {
        let (dev, prod) = (self.lab.account_id("dev")?, self.lab.account_id("prod")?);
        let dev_served = moved_at(calls, dev);
        let prod_began = writes(calls, prod).first().map(|call| call.at);
        ensure(prod_began > dev_served, || {
            format!(
                "prod should start after dev serves, but dev served at {dev_served:?} and prod started at {prod_began:?}"
            )
        })?;
        verified("the first write to prod came after dev served");
        Ok(())
    }

    /// Invokes the function and verifies the version in its answer.
    pub fn expect_answer(
        &self,
        account: &str,
        qualifier: Option<&str>,
        version: &str,
    ) -> Result<(), LabError> {
        let answer = self.lab.invoke(account, FUNCTION, qualifier)?;
        let function = format!("{FUNCTION}:{} in {account}", qualifier.unwrap_or("$LATEST"));
        ensure(answer["version"] == version, || {
            format!("{function} should answer {version}, but answers {answer}")
        })?;
        verified(format!("{function} answers {answer}"));
        Ok(())
    }

    /// Verifies that the alias's version has the bytes of the pipeline's artifact.
    fn expect_code(&self, account: &str, package: &[u8]) -> Result<(), LabError> {
        let expected = code_sha256(package);
        let lambda = self.lab.lambda(account, HUB_REGION)?;
        let call = lambda
            .get_function_configuration()
            .function_name(FUNCTION)
            .qualifier("live");
        let found = runtime::handle()
            .block_on(call.send())
            .map_err(|e| LabError::new(format!("{FUNCTION}:live in {account}: {e:?}")))?;
        let actual = found.code_sha256.unwrap_or_default();
        ensure(actual == expected, || {
            format!("{account} should run the pipeline's artifact ({expected}), but runs {actual}")
        })?;
        verified(format!(
            "{account} runs exactly the pipeline's artifact (SHA-256 {}…), as version {}",
            &actual[..12],
            found.version.unwrap_or_default()
        ));
        Ok(())
    }

    /// The number of versions of the function in an account that have this code.
    pub fn versions_with(&self, account: &str, package: &[u8]) -> Result<usize, LabError> {
        let expected = code_sha256(package);
        let lambda = self.lab.lambda(account, HUB_REGION)?;
        let call = lambda.list_versions_by_function().function_name(FUNCTION);
        let found = runtime::handle()
            .block_on(call.send())
            .map_err(|e| LabError::new(format!("versions of {FUNCTION} in {account}: {e:?}")))?;
        let versions = found.versions.unwrap_or_default();
        let published = versions
            .iter()
            .filter(|version| version.version.as_deref() != Some("$LATEST"));
        Ok(published
            .filter(|version| version.code_sha256.as_ref() == Some(&expected))
            .count())
    }

    /// Runs kubectl and prints the command and its output.
    pub fn show(&self, args: &[&str]) -> Result<(), LabError> {
        let text = self.lab.kube.kubectl_text(User::Admin, args)?;
        shown(&typed(args), &text);
        Ok(())
    }

    /// Prints the status and the events from `kubectl describe`.
    pub fn describe(&self, kind: &str, name: &str) -> Result<(), LabError> {
        let args = ["describe", kind, name, "--namespace", NAMESPACE];
        let text = self.lab.kube.kubectl_text(User::Admin, &args)?;
        let status = text
            .split_once("\nStatus:")
            .map_or("", |(_, status)| status);
        shown(&format!("kubectl {}", args.join(" ")), "…");
        block(&format!("Status:{status}"));
        Ok(())
    }
}

/// Prints the plan of the stage `STAGE`.
const PLAN: &str = "--output=go-template={{range .items}}{{if eq .spec.stage \"STAGE\"}}{{range .status.plan.changes}}\
                    {{.action}} {{.resource}}{{with .field}}: {{.}}{{end}}{{\"\\n\"}}{{end}}{{end}}{{end}}";

/// The command that shows the plan of a stage's Target, and the plan.
pub fn plan_of(
    demo: &Demo,
    user: User,
    (namespace, stage): (&str, &str),
) -> Result<(String, String), LabError> {
    let output = PLAN.replace("STAGE", stage);
    let args = ["get", "stgt", "--namespace", namespace, &output];
    let text = demo.lab.kube.kubectl_text(user, &args)?;
    Ok((typed(&args), text))
}

/// A kubectl command as it is typed in a shell.
pub fn typed(args: &[&str]) -> String {
    let quoted = |arg: &&str| {
        if arg.contains(['{', '"', ' ']) {
            format!("'{arg}'")
        } else {
            (*arg).to_owned()
        }
    };
    let words: Vec<String> = args.iter().map(quoted).collect();
    format!("kubectl {}", words.join(" "))
}

/// An error unless `holds`.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), LabError> {
    if holds {
        Ok(())
    } else {
        Err(LabError::new(otherwise()))
    }
}

/// The calls that write to Lambda in an account.
pub fn writes(calls: &Calls, account: &str) -> Calls {
    let lambda = calls.of_service("lambda").writes();
    lambda.only(|call| call.account.as_deref() == Some(account))
}

/// The time of the last successful write to an alias in an account.
fn moved_at(calls: &Calls, account: &str) -> Option<Timestamp> {
    let is_move = |call: &&Call| {
        call.status.is_some_and(|status| status < 300)
            && (call.operation == "CreateAlias" || call.operation == "UpdateAlias")
    };
    writes(calls, account)
        .iter()
        .rfind(is_move)
        .map(|call| call.at)
}

/// Counts as a comma-separated list.
pub fn in_words(counts: &BTreeMap<String, usize>) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    words.join(", ")
}

/// The package's digest in the form of Lambda's `CodeSha256`.
fn code_sha256(package: &[u8]) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, package))
}
