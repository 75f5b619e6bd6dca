//! The command line. Every flag has an environment variable.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand};
use ipnet::IpNet;
use jiff::SignedDuration;

use crate::{
    adapters::gitlab,
    controllers::{context::Hub, deployment::transfer},
    leader,
    telemetry::LogFormat,
};

/// Delivers artifacts of GitLab pipelines to AWS.
#[derive(Debug, Parser)]
#[command(name = "sluice", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller.
    Run(Box<Run>),
    /// Write the resource definitions as YAML.
    Crds {
        /// Write one file each into this existing directory, instead of all to standard output.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

/// The options of the controller.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Name of the Account that keeps the artifacts. Without it, the first target of each Deployment's first
    /// stage keeps them.
    #[arg(long, env = "SLUICE_HUB_ACCOUNT", requires = "hub_region", value_parser = not_empty)]
    pub hub_account: Option<String>,
    /// The hub's region, which must be a region of its Account.
    #[arg(long, env = "SLUICE_HUB_REGION", requires = "hub_account", value_parser = not_empty)]
    pub hub_region: Option<String>,
    /// The largest accepted artifact, in bytes.
    #[arg(long, env = "SLUICE_MAX_ARTIFACT_SIZE", default_value_t = transfer::DEFAULT_LIMIT)]
    pub max_artifact_size: u64,
    /// Non-public networks that the URLs of checks may lead to, such as 10.0.0.0/8. Sluice refuses all
    /// others.
    #[arg(long, env = "SLUICE_CHECK_NETWORKS", value_delimiter = ',')]
    pub check_networks: Vec<IpNet>,
    /// How many artifacts are fetched at a time; each takes 20 MiB of memory, whatever its size.
    #[arg(long, env = "SLUICE_MAX_TRANSFERS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub max_transfers: u16,
    /// How many artifacts are fetched at a time for one namespace. Defaults to half of --max-transfers.
    #[arg(long, env = "SLUICE_MAX_TRANSFERS_PER_NAMESPACE", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub max_transfers_per_namespace: Option<u16>,
    /// The slowest download that is accepted, in bytes per second. Sluice gives up slower ones.
    #[arg(long, env = "SLUICE_MIN_DOWNLOAD_RATE", default_value_t = transfer::DEFAULT_RATE, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub min_download_rate: u64,
    /// Non-public networks that GitLabConnections and redirects of downloads may lead to, such as 10.0.0.0/8.
    /// Sluice refuses all others.
    #[arg(long, env = "SLUICE_GITLAB_NETWORKS", value_delimiter = ',')]
    pub gitlab_networks: Vec<IpNet>,
    /// How many requests per minute all GitLabConnections to one host may send together.
    #[arg(long, env = "SLUICE_GITLAB_REQUESTS_PER_MINUTE", default_value_t = gitlab::DEFAULT_PER_MINUTE, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub gitlab_requests_per_minute: u32,
    /// Requests per minute of single hosts, such as gitlab.com=1500.
    #[arg(long, env = "SLUICE_GITLAB_HOST_REQUESTS_PER_MINUTE", value_delimiter = ',', value_parser = host_rate)]
    pub gitlab_host_requests_per_minute: Vec<(String, u32)>,

    /// The address of /healthz, /readyz and /metrics.
    #[arg(long, env = "SLUICE_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The format of log lines.
    #[arg(long, env = "SLUICE_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// The log level, or directives such as info,sluice=debug.
    #[arg(long, env = "SLUICE_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// The number of worker threads.
    #[arg(long, env = "SLUICE_WORKER_THREADS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub worker_threads: u16,
    /// How long running reconciles may take to end when the process stops.
    #[arg(long, env = "SLUICE_SHUTDOWN_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub shutdown_timeout: Duration,

    /// The controller's namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "sluice-system")]
    pub namespace: String,
    /// Name of the pod.
    #[arg(long, env = "POD_NAME", default_value = "sluice")]
    pub pod_name: String,
    /// Uid of the pod: a container that is restarted in the same pod reuses its Lease.
    #[arg(long, env = "POD_UID")]
    pub pod_uid: Option<String>,
    /// The controller's ServiceAccount.
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "sluice")]
    pub service_account: String,

    /// Name of the admission policy for Approvals, and of its binding. Without both, no Approval counts.
    #[arg(
        long,
        env = "SLUICE_APPROVAL_POLICY",
        default_value = "sluice-approvals"
    )]
    pub approval_policy: String,
    /// Name of the admission policy for Releases, Targets and statuses, and of its binding. Without both, no
    /// Approval counts.
    #[arg(long, env = "SLUICE_RECORDS_POLICY", default_value = "sluice-records")]
    pub records_policy: String,

    /// The options of the leader election.
    #[command(flatten)]
    pub election: Election,
}

/// The options of the leader election.
#[derive(Clone, Debug, Args)]
pub struct Election {
    /// Whether only the holder of a Lease works. If false, run only one process.
    #[arg(long, env = "SLUICE_LEADER_ELECT", default_value_t = true, action = ArgAction::Set)]
    pub leader_elect: bool,
    /// Name of the Lease.
    #[arg(long, env = "SLUICE_LEASE_NAME", default_value = "sluice")]
    pub lease_name: String,
    /// How long the Lease is valid without renewal, in whole seconds, at least 3s.
    #[arg(long, env = "SLUICE_LEASE_DURATION", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,
    /// How often the Lease is renewed. Defaults to a third of its duration.
    #[arg(long, env = "SLUICE_LEASE_RENEW_INTERVAL", value_parser = duration)]
    pub lease_renew_interval: Option<Duration>,
    /// How soon to try again to get the Lease. Defaults to an eighth of its duration.
    #[arg(long, env = "SLUICE_LEASE_RETRY_INTERVAL", value_parser = duration)]
    pub lease_retry_interval: Option<Duration>,
    /// How long to wait after taking an expired Lease, until the calls of its former holder have timed
    /// out.
    #[arg(long, env = "SLUICE_TAKEOVER_DELAY", default_value = "16s", value_parser = duration)]
    pub takeover_delay: Duration,
}

impl Run {
    /// Where artifacts are kept.
    pub fn hub(&self) -> Option<Hub> {
        Some(Hub {
            account: self.hub_account.clone()?,
            region: self.hub_region.clone()?,
        })
    }

    /// The limits on fetching artifacts: how many at a time, and how slow.
    pub fn transfers(&self) -> transfer::Limits {
        let half = self.max_transfers.div_ceil(2);
        let per_namespace = self.max_transfers_per_namespace.unwrap_or(half);
        transfer::Limits::new(
            self.max_transfers.into(),
            per_namespace.into(),
            self.min_download_rate,
        )
    }

    /// The request rates of GitLab hosts.
    pub fn gitlab_rates(&self) -> gitlab::Rates {
        let hosts = self.gitlab_host_requests_per_minute.iter().cloned();
        gitlab::Rates::new(self.gitlab_requests_per_minute, hosts)
    }

    /// The settings of the Lease; `None` without leader election.
    pub fn lease(&self) -> Option<leader::Settings> {
        let election = &self.election;
        let duration = election.lease_duration;
        let unique = self
            .pod_uid
            .clone()
            .unwrap_or_else(|| format!("{:016x}", fastrand::u64(..)));
        election.leader_elect.then(|| leader::Settings {
            name: election.lease_name.clone(),
            identity: format!("{}_{unique}", self.pod_name),
            duration,
            renew: election.lease_renew_interval.unwrap_or(duration / 3),
            retry: election.lease_retry_interval.unwrap_or(duration / 8),
            takeover_delay: election.takeover_delay,
        })
    }
}

/// Parses a rate such as `gitlab.com=1500`.
fn host_rate(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("{text:?} is not of the form gitlab.com=1500");
    let (host, rate) = text.split_once('=').ok_or_else(wrong)?;
    let rate = rate
        .parse()
        .ok()
        .filter(|rate| (1..=1_000_000).contains(rate));
    match rate {
        Some(rate) if !host.is_empty() => Ok((host.to_ascii_lowercase(), rate)),
        _ => Err(wrong()),
    }
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty: leave it out instead".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a duration such as `15s` or `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = text
        .parse()
        .map_err(|_| format!("{text:?} is not a duration: write it as 15s or 1m30s"))?;
    Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < Duration::from_secs(3) || duration.subsec_nanos() != 0 {
        return Err("must be whole seconds, at least 3s".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Run, clap::Error> {
        let arguments = ["sluice", "run"].iter().chain(arguments);
        Cli::try_parse_from(arguments).map(|cli| match cli.command {
            Command::Run(run) => *run,
            Command::Crds { .. } => unreachable!("asked for run"),
        })
    }

    #[test]
    fn the_commands_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_hub_needs_both_parts() {
        assert!(run(&["--hub-account=hub"]).is_err());
        let run = run(&["--hub-account=hub", "--hub-region=eu-west-1"]).unwrap();
        assert_eq!(run.hub().unwrap().region, "eu-west-1");
    }

    #[test]
    fn namespace_gets_half_of_the_transfers_by_default() {
        for (arguments, all, one) in [
            (&[][..], 4, 2),
            (&["--max-transfers=1"], 1, 1),
            (&["--max-transfers=9"], 9, 5),
            (
                &["--max-transfers=3", "--max-transfers-per-namespace=1"],
                3,
                1,
            ),
            (
                &["--max-transfers=3", "--max-transfers-per-namespace=8"],
                3,
                3,
            ),
        ] {
            let limits = run(arguments).unwrap().transfers();
            assert_eq!(
                (limits.parallel, limits.per_namespace),
                (all, one),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn host_has_its_own_request_rate_or_the_default() {
        let rates = run(&[
            "--gitlab-requests-per-minute=300",
            "--gitlab-host-requests-per-minute=GitLab.com=1500,git.example.com=60",
        ]);
        let rates = rates.unwrap().gitlab_rates();
        for (host, rate) in [
            ("gitlab.com", 1500),
            ("git.example.com", 60),
            ("other", 300),
        ] {
            assert_eq!(rates.of(host), rate, "{host}");
        }
        for wrong in ["gitlab.com", "=5", "gitlab.com=0", "gitlab.com=many"] {
            let argument = format!("--gitlab-host-requests-per-minute={wrong}");
            assert!(run(&[&argument]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_intervals_follow_the_lease() {
        let lease = run(&["--lease-duration=3s"]).unwrap().lease().unwrap();
        assert_eq!(lease.renew, Duration::from_secs(1));
        assert!(lease.retry < lease.renew);
        assert!(run(&["--leader-elect=false"]).unwrap().lease().is_none());
    }

    #[test]
    fn lease_duration_that_kubernetes_cannot_express_is_refused() {
        for wrong in ["1500ms", "1s", "soon", "-15s"] {
            assert!(
                run(&[&format!("--lease-duration={wrong}")]).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_pod_keeps_its_identity_and_a_process_without_one_gets_its_own() {
        let identity = |arguments: &[&str]| run(arguments).unwrap().lease().unwrap().identity;
        let pod = ["--pod-name=sluice-0", "--pod-uid=7"];
        assert_eq!(identity(&pod), "sluice-0_7");
        assert_ne!(identity(&["--pod-name=a"]), identity(&["--pod-name=a"]));
    }
}
