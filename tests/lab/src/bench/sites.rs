//! `sluice-lab sites`: delivers many small files, as of a website, to a bucket; compared with a plain
//! program that only puts them, and with `aws s3 sync` if given.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use sluice_lab::{
    error::LabError,
    gitlab::{JobEnd, JobSpec, zip},
    lab::HUB_REGION,
    runtime,
};

use super::{
    bench_lab::{BenchLab, NAMESPACE, manifest},
    build, mebibytes,
    plain::{Plain, Session},
};
use crate::demo::tell::{self, block, say};

const TITLE: &str = "sites: starts Kubernetes, AWS and GitLab on this machine and delivers a site of many files; some minutes";
const NAME: &str = "site";
/// Concurrent requests of the plain program.
const AT_A_TIME: usize = 64;
/// Far more than any wait takes.
const LIMIT: Duration = Duration::from_mins(20);

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many files to deliver.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    files: u32,
    /// The size of each file in bytes.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    size: u32,
    /// Milliseconds to add to each AWS call.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    delay: u64,
    /// The AWS CLI, to measure the same with `aws s3 sync`.
    #[arg(long)]
    aws: Option<PathBuf>,
}

struct Row {
    who: &'static str,
    seconds: f64,
    calls: usize,
    cpu: Option<f64>,
    peak: Option<u64>,
}

/// Measures, with data and logs in `dir`.
pub fn sites(dir: &Path, options: &Options) -> Result<(), LabError> {
    tell::begin(TITLE);
    let (build, binary) = build()?;
    let bench_lab = BenchLab::start(dir, binary)?;
    say(&format!("measures the {build} build of the controller"));
    let files = Files::new(options);
    let session = Plain::enter(&bench_lab.lab)?.session();
    let _slow = bench_lab.slow(options.delay);
    let mut rows = vec![
        by_sluice(&bench_lab, &files)?,
        by_plain(&bench_lab, &files, &session)?,
    ];
    if let Some(aws) = &options.aws {
        rows.push(by_aws(
            &bench_lab,
            &files,
            &session,
            aws,
            &dir.join("files"),
        )?);
    }
    tell::step(&format!(
        "A site of {} files of {} bytes, {} ms a call",
        options.files, options.size, options.delay
    ));
    block(&table(&rows));
    Ok(())
}

/// Files with distinct contents.
struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    fn new(options: &Options) -> Self {
        let size = usize::try_from(options.size).unwrap_or_default();
        let file = |nth: u32| {
            let line = format!("{nth} {:08x}\n", nth.wrapping_mul(2_654_435_761));
            let text = line.repeat(size / line.len() + 1);
            let path = format!("assets/{}/{nth}.js", nth % 100);
            (path, text.into_bytes()[..size].to_vec())
        };
        Self((0..options.files).map(file).collect())
    }
}

/// Measures from the end of the pipeline until the site is live.
fn by_sluice(bench_lab: &BenchLab, files: &Files) -> Result<Row, LabError> {
    let (lab, project) = (&bench_lab.lab, bench_lab.team.project);
    lab.gitlab.push(project, NAME, "Begin");
    let mut deployment = manifest(&bench_lab.team, NAME, "package", &[]);
    deployment["spec"]["artifacts"] = json!([{"name": "site", "job": {"name": "package"}}]);
    deployment["spec"]["components"] = json!([{
        "name": "site",
        "s3": {"bucket": lab.site_bucket("dev")?, "prefix": "sluice", "artifact": "site"},
    }]);
    deployment["spec"]["stages"][0]["checks"] = json!([]);
    lab.apply(&deployment.to_string())?;
    bench_lab.wait_for_pipeline_request(NAME)?;
    let entries: Vec<(&str, &[u8])> = files.0.iter().map(|(path, it)| (&**path, &**it)).collect();
    let jobs = vec![
        JobSpec::new("test", "test").ends(JobEnd::success()),
        JobSpec::new("package", "package").ends(JobEnd::uploads(zip(&entries))),
    ];
    say("delivers them with Sluice");
    let (mark, cpu) = (lab.aws.mark(), lab.controller().cpu_seconds()?);
    let begun = Instant::now();
    lab.gitlab.run_pipeline(project, NAME, jobs);
    lab.wait_for("the site is live", LIMIT, || {
        let object = lab.get_json("deployment", Some(NAMESPACE), NAME);
        let object = object.map_err(|error| error.to_string())?;
        let live = &object["status"]["live"];
        (*live == "dev=r1")
            .then_some(())
            .ok_or_else(|| object["status"]["summary"].to_string())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let controller = lab.controller();
    Ok(Row {
        who: "Sluice",
        seconds,
        calls: lab.aws.calls_since(mark).len(),
        cpu: Some(controller.cpu_seconds()? - cpu),
        peak: Some(controller.peak_rss_bytes()?),
    })
}

fn by_plain(bench_lab: &BenchLab, files: &Files, session: &Session) -> Result<Row, LabError> {
    say("puts them with a plain program");
    let bucket = bench_lab.lab.site_bucket("dev")?;
    let s3 = aws_sdk_s3::Client::new(&session.config);
    let mark = bench_lab.lab.aws.mark();
    let begun = Instant::now();
    let puts = files.0.iter().map(|(path, bytes)| {
        let put = s3
            .put_object()
            .bucket(bucket)
            .key(format!("plain/{path}"))
            .body(bytes.clone().into());
        async move { put.send().await.map(drop) }
    });
    let all = stream::iter(puts).buffer_unordered(AT_A_TIME);
    runtime::handle()
        .block_on(all.try_collect::<Vec<()>>())
        .map_err(|error| LabError::new(format!("PutObject: {error:?}")))?;
    Ok(Row {
        who: "plain program",
        seconds: begun.elapsed().as_secs_f64(),
        calls: bench_lab.lab.aws.calls_since(mark).len(),
        cpu: None,
        peak: None,
    })
}

fn by_aws(
    bench_lab: &BenchLab,
    files: &Files,
    session: &Session,
    aws: &Path,
    dir: &Path,
) -> Result<Row, LabError> {
    for (path, bytes) in &files.0 {
        let file = dir.join(path);
        fs::create_dir_all(file.parent().unwrap_or(dir))?;
        fs::write(file, bytes)?;
    }
    say("syncs them with aws s3 sync");
    let to = format!("s3://{}/aws", bench_lab.lab.site_bucket("dev")?);
    let mark = bench_lab.lab.aws.mark();
    let begun = Instant::now();
    let ended = Command::new(aws)
        .args(["s3", "sync", "--only-show-errors", "--endpoint-url"])
        .arg(bench_lab.lab.aws.endpoint())
        .arg(dir)
        .arg(to)
        .env("AWS_ACCESS_KEY_ID", &session.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &session.secret_access_key)
        .env("AWS_SESSION_TOKEN", &session.token)
        .env("AWS_DEFAULT_REGION", HUB_REGION)
        .status()
        .map_err(|error| LabError::new(format!("{}: {error}", aws.display())))?;
    if !ended.success() {
        return Err(LabError::new(format!("aws s3 sync: {ended}")));
    }
    Ok(Row {
        who: "aws s3 sync",
        seconds: begun.elapsed().as_secs_f64(),
        calls: bench_lab.lab.aws.calls_since(mark).len(),
        cpu: None,
        peak: None,
    })
}

fn table(rows: &[Row]) -> String {
    let head = format!(
        "{:<14} {:>8} {:>8} {:>8} {:>9}",
        "", "took s", "calls", "CPU s", "peak MiB"
    );
    let formatted = |figure: Option<f64>| figure.map_or_else(String::new, |it| format!("{it:.1}"));
    let lines = rows.iter().map(|row| {
        format!(
            "{:<14} {:>8.1} {:>8} {:>8} {:>9}",
            row.who,
            row.seconds,
            row.calls,
            formatted(row.cpu),
            formatted(row.peak.map(mebibytes))
        )
    });
    let lines: Vec<String> = std::iter::once(head).chain(lines).collect();
    lines.join("\n")
}
