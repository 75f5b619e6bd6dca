//! The requirements of a stage: the Deployment's own gate and what the Accounts require in addition.
//!
//! Guarantees: every requirement has to be met. Requirements of an Account are added and replace nothing,
//! so a Deployment can only tighten them.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::window::Window;
use crate::{
    api::v1alpha1::{self, AccountRequires, Gate, GitLabApproval, KubernetesApproval},
    domain::duration::duration,
};

/// Everything that must be true before a stage starts.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// The approvals, all of which are required.
    pub approvals: Vec<ApprovalRequirement>,
    /// Sets of windows, of each of which one has to be open.
    pub windows: Vec<WindowRequirement>,
    /// No freeze period of the project may be in force.
    pub no_freeze: bool,
    /// Further approvals if the plan deletes live resources.
    deletion_approvals: Vec<ApprovalRequirement>,
    /// Further sets of windows if the plan deletes live resources.
    deletion_windows: Vec<WindowRequirement>,
}

/// Who has a requirement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// The Deployment's own gate.
    Deployment,
    /// The Account of that name.
    Account(String),
    /// The Account of that name, for deletions there.
    Deletion(String),
}

/// The name in messages.
impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment => f.write_str("the stage's gate"),
            Self::Account(name) => write!(f, "Account {name}"),
            Self::Deletion(name) => write!(f, "Account {name}, for the deletion"),
        }
    }
}

/// A required approval.
#[derive(Clone, Debug)]
pub struct ApprovalRequirement {
    /// Who requires it.
    pub asker: Asker,
    /// Who has to approve.
    pub from: Approvers,
}

/// Who has to approve, and how.
#[derive(Clone, Debug)]
pub enum Approvers {
    /// By Approvals.
    Kubernetes(KubernetesApprovers),
    /// By starting a manual job.
    ManualJob(GitLabApproval),
}

/// Whose Approvals count.
#[derive(Clone, Debug)]
pub struct KubernetesApprovers {
    /// Users who may approve.
    pub users: BTreeSet<String>,
    /// Groups whose members may.
    pub groups: BTreeSet<String>,
    /// How many different people have to approve.
    pub minimum: usize,
    /// The maximum age of an Approval.
    pub expires_after: Option<Duration>,
    /// Set if the author may not approve: the Kubernetes identities of GitLab users.
    pub barred_author: Option<Identities>,
}

/// The Kubernetes identities of GitLab users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities(Vec<v1alpha1::Identity>);

/// A set of windows, of which one has to be open.
#[derive(Clone, Debug)]
pub struct WindowRequirement {
    /// Who requires it.
    pub asker: Asker,
    /// The windows.
    pub windows: Vec<Window>,
}

/// An invalid gate. The stage does not start while its gate is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asker}: {field}: {problem}")]
pub struct InvalidGate {
    /// Whose gate it is.
    pub asker: Asker,
    /// The field in the gate, or in the Account's `spec.requires`.
    pub field: String,
    /// What is wrong with the field.
    pub problem: String,
}

impl Requirements {
    /// Combines the stage's own gate with the requirements of the Accounts, given once each.
    pub fn of<'a>(
        gate: Option<&Gate>,
        accounts: impl IntoIterator<Item = (&'a str, &'a AccountRequires)>,
    ) -> Result<Self, InvalidGate> {
        let mut all = Self::default();
        if let Some(gate) = gate {
            let asker = Asker::Deployment;
            let approval = gate.approval.as_ref();
            let kubernetes = approval.and_then(|approval| approval.kubernetes.as_ref());
            all.ask_kubernetes(&asker, kubernetes)?;
            let gitlab = approval.and_then(|approval| approval.gitlab.clone());
            all.approvals.extend(gitlab.map(|job| ApprovalRequirement {
                asker: asker.clone(),
                from: Approvers::ManualJob(job),
            }));
            all.ask_windows(&asker, &gate.windows)?;
            all.no_freeze = gate.respect_freeze_periods;
        }
        for (name, requires) in accounts {
            let asker = Asker::Account(name.to_owned());
            let approval = requires.approval.as_ref();
            all.ask_kubernetes(&asker, approval.map(|approval| &approval.kubernetes))?;
            all.ask_windows(&asker, &requires.windows)?;
            let deletion = Self::of_deletion(name, requires)?;
            all.deletion_approvals.extend(deletion.approvals);
            all.deletion_windows.extend(deletion.windows);
        }
        Ok(all)
    }

    /// The requirements for a rollback to a Release that has served in the stage: the approvals that the
    /// Accounts require. The Release has passed the stage's own gate before, and an outage must not wait for
    /// a window.
    pub fn of_rollback<'a>(
        accounts: impl IntoIterator<Item = (&'a str, &'a AccountRequires)>,
    ) -> Result<Self, InvalidGate> {
        let mut all = Self::default();
        for (name, requires) in accounts {
            let approval = requires.approval.as_ref();
            let asker = Asker::Account(name.to_owned());
            all.ask_kubernetes(&asker, approval.map(|approval| &approval.kubernetes))?;
            let asker = Asker::Deletion(name.to_owned());
            let approval = requires
                .deletion
                .as_ref()
                .and_then(|it| it.approval.as_ref());
            let mut deletion = Self::default();
            deletion.ask_kubernetes(&asker, approval.map(|approval| &approval.kubernetes))?;
            all.deletion_approvals.extend(deletion.approvals);
        }
        Ok(all)
    }

    /// The requirements for deleting live resources in an Account.
    pub fn of_deletion(name: &str, requires: &AccountRequires) -> Result<Self, InvalidGate> {
        let mut all = Self::default();
        if let Some(deletion) = &requires.deletion {
            let asker = Asker::Deletion(name.to_owned());
            let approval = deletion.approval.as_ref();
            all.ask_kubernetes(&asker, approval.map(|approval| &approval.kubernetes))?;
            all.ask_windows(&asker, &deletion.windows)?;
        }
        Ok(all)
    }

    /// The requirements for a plan, which may delete live resources.
    #[must_use]
    pub fn of_plan(mut self, deletes: bool) -> Self {
        let approvals = std::mem::take(&mut self.deletion_approvals);
        let windows = std::mem::take(&mut self.deletion_windows);
        if deletes {
            self.approvals.extend(approvals);
            self.windows.extend(windows);
        }
        self
    }

    /// Whether nothing is required, whatever the plan.
    pub fn is_empty(&self) -> bool {
        self.approvals.is_empty()
            && self.windows.is_empty()
            && !self.no_freeze
            && self.deletion_approvals.is_empty()
            && self.deletion_windows.is_empty()
    }

    /// Whether GitLab has to be read, for manual jobs or freeze periods.
    pub fn need_gitlab(&self) -> bool {
        self.no_freeze || self.manual_jobs().next().is_some()
    }

    /// The required manual jobs.
    pub fn manual_jobs(&self) -> impl Iterator<Item = &GitLabApproval> {
        self.approvals.iter().filter_map(|one| match &one.from {
            Approvers::ManualJob(job) => Some(job),
            Approvers::Kubernetes(_) => None,
        })
    }

    fn ask_kubernetes(
        &mut self,
        asker: &Asker,
        approval: Option<&KubernetesApproval>,
    ) -> Result<(), InvalidGate> {
        let Some(approval) = approval else {
            return Ok(());
        };
        let invalid = |field: &str, problem: &str| InvalidGate {
            asker: asker.clone(),
            field: format!("approval.kubernetes.{field}"),
            problem: problem.to_owned(),
        };
        if approval.users.is_empty() && approval.groups.is_empty() {
            return Err(invalid(
                "users",
                "name who may approve: users, groups or both",
            ));
        }
        let expires_after = match approval.expires_after.as_deref() {
            Some(text) => Some(
                duration(text)
                    .ok_or_else(|| invalid("expiresAfter", "must be a duration such as 24h"))?,
            ),
            None => None,
        };
        // Fewer than one would require no approval.
        let minimum = usize::try_from(approval.minimum_approvals)
            .ok()
            .filter(|minimum| *minimum > 0)
            .ok_or_else(|| invalid("minimumApprovals", "must be 1 or more"))?;
        self.approvals.push(ApprovalRequirement {
            asker: asker.clone(),
            from: Approvers::Kubernetes(KubernetesApprovers {
                users: approval.users.iter().cloned().collect(),
                groups: approval.groups.iter().cloned().collect(),
                minimum,
                expires_after,
                barred_author: (!approval.allow_author)
                    .then(|| Identities(approval.identities.clone())),
            }),
        });
        Ok(())
    }

    fn ask_windows(
        &mut self,
        asker: &Asker,
        windows: &[v1alpha1::Window],
    ) -> Result<(), InvalidGate> {
        if windows.is_empty() {
            return Ok(());
        }
        let parse = |(at, window): (usize, &v1alpha1::Window)| {
            Window::parse(window).map_err(|(field, problem)| InvalidGate {
                asker: asker.clone(),
                field: format!("windows[{at}].{field}"),
                problem,
            })
        };
        let windows: Result<Vec<Window>, InvalidGate> =
            windows.iter().enumerate().map(parse).collect();
        self.windows.push(WindowRequirement {
            asker: asker.clone(),
            windows: windows?,
        });
        Ok(())
    }
}

/// Who requires that only protected branches and tags are delivered. `explicit` is the Deployment's own
/// setting; without one, a stage with a gate requires it, because anyone who may push may create an
/// unprotected tag. The Deployment can't overrule an Account that requires it.
pub fn protected_ref<'a>(
    explicit: Option<bool>,
    gated: bool,
    accounts: impl IntoIterator<Item = (&'a str, &'a AccountRequires)>,
) -> Option<Asker> {
    let required = (accounts.into_iter())
        .find(|(_, requires)| requires.protected_ref)
        .map(|(name, _)| Asker::Account(name.to_owned()));
    required.or_else(|| explicit.unwrap_or(gated).then_some(Asker::Deployment))
}

impl Identities {
    /// The Kubernetes usernames of a GitLab user; empty if none are configured.
    pub fn of(&self, gitlab_user: &str) -> BTreeSet<String> {
        let own = (self.0.iter())
            .find(|one| one.gitlab_user.eq_ignore_ascii_case(gitlab_user))
            .map(|one| one.kubernetes_users.iter().cloned().collect());
        own.unwrap_or_else(|| {
            (self.0.iter())
                .filter(|one| one.gitlab_user == "*")
                .flat_map(|one| &one.kubernetes_users)
                .map(|user| user.replace('*', gitlab_user))
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn gate(value: Value) -> Gate {
        serde_json::from_value(value).unwrap()
    }

    fn requires(value: Value) -> AccountRequires {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn no_gate_has_no_requirements() {
        assert!(Requirements::of(None, []).unwrap().is_empty());
        let nothing = AccountRequires::default();
        assert!(
            Requirements::of(None, [("dev", &nothing)])
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn account_requirements_add_to_the_gate() {
        let gate = gate(json!({
            "approval": {"gitlab": {"manualJob": "approve-prod"}},
            "windows": [{"schedule": "0 9 * * *", "timeZone": "UTC", "duration": "8h"}],
            "respectFreezePeriods": true,
        }));
        let account = requires(json!({
            "approval": {"kubernetes": {"groups": ["platform"], "minimumApprovals": 2}},
            "windows": [{"schedule": "0 10 * * *", "timeZone": "UTC", "duration": "1h"}],
        }));
        let all = Requirements::of(Some(&gate), [("prod", &account)]).unwrap();
        let askers: Vec<String> = (all.approvals.iter())
            .map(|one| one.asker.to_string())
            .chain(all.windows.iter().map(|one| one.asker.to_string()))
            .collect();
        assert_eq!(
            askers,
            [
                "the stage's gate",
                "Account prod",
                "the stage's gate",
                "Account prod"
            ]
        );
        assert!(all.no_freeze);
        assert_eq!(
            all.manual_jobs()
                .map(|job| job.manual_job.as_str())
                .collect::<Vec<_>>(),
            ["approve-prod"]
        );
    }

    #[test]
    fn rollback_requires_approvals_but_no_window() {
        let account = requires(json!({
            "approval": {"kubernetes": {"groups": ["platform"]}},
            "windows": [{"schedule": "never", "timeZone": "UTC", "duration": "1h"}],
        }));
        let all = Requirements::of_rollback([("prod", &account)]).unwrap();
        assert_eq!((all.approvals.len(), all.windows.len()), (1, 0));
        let clock = requires(json!({
            "windows": [{"schedule": "0 10 * * *", "timeZone": "UTC", "duration": "1h"}],
        }));
        let all = Requirements::of_rollback([("prod", &clock)]).unwrap();
        assert!(all.is_empty());
    }

    #[test]
    fn invalid_requirement_names_its_field() {
        let window = json!({"schedule": "0 9 * * *", "timeZone": "UTC", "duration": "8h"});
        let cases = [
            (
                json!({"windows": [window, {"schedule": "0 9 * *", "timeZone": "UTC", "duration": "1h"}]}),
                "Account prod: windows[1].schedule: ",
            ),
            (
                json!({"approval": {"kubernetes": {"users": ["a"], "expiresAfter": "soon"}}}),
                "Account prod: approval.kubernetes.expiresAfter: ",
            ),
            (
                json!({"approval": {"kubernetes": {"users": ["a"], "minimumApprovals": 0}}}),
                "Account prod: approval.kubernetes.minimumApprovals: ",
            ),
            (
                json!({"approval": {"kubernetes": {}}}),
                "Account prod: approval.kubernetes.users: ",
            ),
        ];
        for (value, expected) in cases {
            let problem = Requirements::of(None, [("prod", &requires(value))]).unwrap_err();
            assert!(problem.to_string().starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn gate_or_account_requires_a_protected_ref() {
        let strict = requires(json!({"protectedRef": true}));
        let mild = requires(json!({}));
        let asked = |explicit, gated, account: &AccountRequires| {
            protected_ref(explicit, gated, [("prod", account)]).map(|asker| asker.to_string())
        };
        let (gate, account) = ("the stage's gate", "Account prod");
        for (explicit, gated, requires, expected) in [
            (None, false, &mild, None),
            (None, true, &mild, Some(gate)),
            (Some(false), true, &mild, None),
            (Some(true), false, &mild, Some(gate)),
            (None, false, &strict, Some(account)),
            (Some(false), false, &strict, Some(account)),
        ] {
            let asked = asked(explicit, gated, requires);
            assert_eq!(asked.as_deref(), expected, "{explicit:?} {gated}");
        }
    }

    #[test]
    fn identity_comes_from_its_entry_or_the_pattern() {
        let identities: Vec<v1alpha1::Identity> = serde_json::from_value(json!([
            {"gitlabUser": "*", "kubernetesUsers": ["oidc:*", "*@example.com"]},
            {"gitlabUser": "ana", "kubernetesUsers": ["ana.smith"]},
        ]))
        .unwrap();
        let identities = Identities(identities);
        let of = |user| identities.of(user).into_iter().collect::<Vec<_>>();
        assert_eq!(of("ana"), ["ana.smith"]);
        assert_eq!(
            of("Ana"),
            ["ana.smith"],
            "GitLab usernames are case-insensitive"
        );
        assert_eq!(of("bea"), ["bea@example.com", "oidc:bea"]);
        assert!(Identities::default().of("ana").is_empty());
    }
}
