//! python-gitlab, a third-party client, calls every endpoint.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use sluice_lab::{
    gitlab::{JobEnd, JobSpec, SimulatorOptions, TestSuite},
    toolchain,
};

use super::{Lab, builds};

fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("SLUICE_LAB_PYTHON") {
        return path.into();
    }
    toolchain::python(&|line| eprintln!("lab: {line}")).expect("Python")
}

#[tokio::test(flavor = "multi_thread")]
async fn python_gitlab_calls_every_endpoint() {
    let options = SimulatorOptions {
        relative_root: "/gitlab".to_owned(),
        ..SimulatorOptions::default()
    };
    let lab = Lab::with(options).await;
    let sha = lab.gitlab.push(lab.project, "feature/x", "A feature");
    lab.gitlab.tag(lab.project, "release/1.0", &sha);
    for _ in 0..24 {
        lab.gitlab
            .run_pipeline(lab.project, "feature/x", vec![builds()]);
    }
    let jobs = vec![
        JobSpec::new("test", "test").ends(JobEnd::success()),
        builds(),
        JobSpec::new("approve", "gate").manual_blocking(),
        JobSpec::new("after", "after"),
    ];
    let pipeline = lab.gitlab.run_pipeline(lab.project, "main", jobs);
    let suite = TestSuite {
        name: "test".to_owned(),
        time: 2.5,
        success: 12,
        skipped: 1,
        ..TestSuite::default()
    };
    lab.gitlab.set_test_report(pipeline, vec![suite]);
    let child =
        lab.gitlab
            .run_pipeline_as(lab.project, "main", "parent_pipeline", None, vec![builds()]);
    lab.gitlab.add_bridge(pipeline, "child", "test", child);
    let bot = lab.gitlab.create_bot("release-bot");
    let bot_token = lab.gitlab.create_token(bot, &["api"], None);
    let frozen = [
        lab.gitlab
            .freeze(lab.project, "0 23 * * 5", "0 7 * * 1", "UTC"),
        lab.gitlab.freeze(
            lab.project,
            "0 18 * * *",
            "0 8 * * *",
            "Pacific Time (US & Canada)",
        ),
    ];
    let token = lab.gitlab.create_token(
        lab.ana,
        &["api", "read_user"],
        Some(jiff::civil::date(2199, 1, 2)),
    );

    let about = json!({
        "url": lab.gitlab.url(), "token": token, "project": lab.project, "pipeline": pipeline, "child": child,
        "sha": sha, "test": lab.gitlab.job(pipeline, "test"), "package": lab.gitlab.job(pipeline, "package"),
        "approve": lab.gitlab.job(pipeline, "approve"), "ana": lab.ana, "bot": bot, "bot_token": bot_token,
        "freeze_periods": frozen,
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/python_gitlab.py");
    let mut command = Command::new(python());
    command.arg(script).arg(about.to_string());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "done");
}
