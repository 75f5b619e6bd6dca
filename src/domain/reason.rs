//! The reasons of conditions and Events, each with its meaning and its remedy.
//!
//! The tables of docs/troubleshooting.md and docs/approvals.md are generated from here. On the wire, a reason
//! is an open string: another version of Sluice may have written one that is not in this list.

use std::fmt;

/// Defines [`Section`] and [`Reason`] from one list. `Name("Wire"): …` is written as `Wire`.
macro_rules! reasons {
    (
        $(
            $(#[$about:meta])*
            $section:ident {
                $( $name:ident $( ($wire:literal) )? : $meaning:literal $( => $remedy:literal )?; )*
            }
        )*
    ) => {
        /// The subject of a reason. Each section is a table in the documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Section {
            $( $(#[$about])* $section, )*
        }

        impl Section {
            /// All sections.
            pub const ALL: &'static [Self] = &[ $( Self::$section, )* ];

            /// The marker of the section's table in the documentation.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$section => stringify!($section), )*
                }
            }
        }

        /// Why a condition has its status, or what an Event reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $( $( #[doc = $meaning] $name, )* )*
        }

        impl Reason {
            /// All reasons, by section.
            pub const ALL: &'static [Self] = &[ $( $( Self::$name, )* )* ];

            /// The reason as in conditions and Events: CamelCase, machine-readable.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( $( Self::$name => reasons!(@wire $name $($wire)?), )* )*
                }
            }

            /// The meaning, in whole sentences.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $( $( Self::$name => $meaning, )* )*
                }
            }

            /// What to do about it; empty if no action is needed.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $( $( Self::$name => concat!($($remedy)?), )* )*
                }
            }

            /// The table that explains the reason.
            pub const fn section(self) -> Section {
                match self {
                    $( $( Self::$name => Section::$section, )* )*
                }
            }
        }
    };
    (@wire $name:ident) => { stringify!($name) };
    (@wire $name:ident $wire:literal) => { $wire };
}

reasons! {
    /// GitLab and the artifacts.
    GitLab {
        ConnectionNotFound: "The namespace has no GitLabConnection with the name that `spec.source.connection` gives."
            => "Create the GitLabConnection, or correct `spec.source.connection`.";
        InvalidCredentials: "GitLab or AWS does not accept the credentials because they are wrong, revoked or expired, \
            the Secret or its key is missing, or the Secret does not declare that it holds a GitLab token."
            => "Put a valid token into the Secret that the message names, or [label](gitlab.md#the-token) the Secret. \
            For an Account, create or correct what the message names.";
        TokenExpires: "GitLab accepts the token, but the token expires soon; the message gives the day."
            => "Create a new token and put it into the Secret that the message names.";
        TokenExpired: "The last day of the token is over."
            => "Create a new token and put it into the Secret that the message names.";
        ScopeMissing: "The token does not have the scope that Sluice needs."
            => "Create a token with the scope `read_api`.";
        AccessDenied: "GitLab or AWS denies the request of the token or the role."
            => "Give the token or the role the scope, role or action that the message names.";
        ProjectNotFound: "GitLab has no such project, or the user of the token cannot see it."
            => "Correct `spec.source.project`, or add the user to the project.";
        RefNotFound: "The project has no branch or tag with the name that `spec.source.ref` gives."
            => "Correct `spec.source.ref`.";
        RefNotProtected: "The Deployment or an Account requires a protected ref, and the ref of the Release was not \
            protected, or an earlier version of Sluice did not record whether it was."
            => "Protect the ref in GitLab, or run a new pipeline.";
        Resolved: "Sluice has fetched the artifacts of the newest eligible pipeline. The message lists the newer \
            pipelines that Sluice passed over, and why.";
        WaitingForPipeline: "No pipeline is eligible yet. The message names the job or trigger job that Sluice waits \
            for, that failed, or that the pipeline does not have under that name."
            => "Wait, fix the pipeline, or write the job's name exactly as GitLab shows it.";
        ArtifactMissing: "The job has no such file, or its artifacts expired or were erased."
            => "Correct the job or the path, or run the job again.";
        Fetching: "Sluice is downloading an artifact."
            => "Wait.";
        CorruptDownload: "The download broke off, or its length differs from the announced length. Sluice tries again."
            => "If the reason stays, examine the network and the proxies between the cluster and GitLab.";
        TooLarge: "The artifact or the response exceeds a limit, which the message names."
            => "Make the artifact smaller. For a list, see [the limits](gitlab.md#requests).";
        InvalidArtifact: "The artifact is not a zip file that Lambda accepts, or it has files that cannot be \
            uploaded to a bucket. The message names the component's field, the artifact and its job."
            => "Correct the files that the job packs, or how it packs them.";
        NoHub: "Sluice has no bucket for the artifacts."
            => "Set `hub` in the chart's values, or give the first stage a target.";
    }
    /// Accounts, and the permissions of Sluice there.
    Accounts {
        AccountNotFound: "The cluster has no Account with the name that the stage's target gives."
            => "Ask the platform team to create the Account, or correct `spec.stages[].targets[].account`.";
        RegionNotFound: "The Account does not list the region."
            => "Ask the platform team to add the region to `spec.regions` of the Account.";
        WrongAccount: "The credentials belong to another AWS account than `accountId`. Sluice writes nothing there."
            => "Correct the credentials of the Account.";
        BucketMisconfigured: "An artifact bucket lacks versioning or the lifecycle rule, or is in another account or \
            region."
            => "Configure the bucket as described in [the artifact bucket](accounts.md#the-artifact-bucket).";
        NotGranted: "The Account grants this namespace nothing, or no longer grants what the message names. Sluice \
            fetches no artifact for the Account and makes no further change there; a run in progress stays as it is."
            => "Ask the platform team to add the grant to `spec.grants`. To release a Deployment that is being \
            deleted, use `sluice.dev/abandon`.";
        NotFound: "The resource that the message names does not exist, or is not visible to Sluice."
            => "Create it, or correct its name.";
        RoleNotAssumable: "Lambda cannot assume the role of the function yet."
            => "Wait a few seconds. If the reason stays, let the role trust `lambda.amazonaws.com`.";
    }
    /// The delivery of a Release.
    Delivery {
        UnknownAnnotation: "An Event: the Deployment has an annotation `sluice.dev/…` that Sluice does not know. The \
            annotation has no effect."
            => "Correct the name of the annotation, or remove it.";
        PreflightFailed: "No stage gets the Release because one of the stages has a problem, or a Target finds in \
            advance that it cannot deliver the Release. The message names the stage and the field of the first few \
            problems."
            => "Correct the field, or ask the platform team to extend the Account. The Release continues by itself \
            if it needs no other spec.";
        InvalidSpec: "A field of the spec is invalid. The message gives its path."
            => "Correct the field.";
        Malformed: "The object has a value that this version of Sluice cannot read."
            => "Correct the field, or run the version of Sluice that wrote the object.";
        UnknownJournal: "Another version of Sluice began this run."
            => "Let that version finish the run.";
        DeliveryFailed: "The delivery failed before it changed anything, or could not begin within `progressDeadline`."
            => "Fix what the message describes, then set `sluice.dev/retry` or wait for a new pipeline.";
        RolledBack: "The delivery failed and Sluice rolled it back. The last good Release serves."
            => "Fix what the message describes, then set `sluice.dev/retry` or wait for a new pipeline.";
        RollbackFailed: "The delivery failed and Sluice could not roll it back. The message and `status.run.differences` \
            of the Target list what differs from the state before."
            => "Fix what the message describes, then set `sluice.dev/retry`.";
        Held: "A check failed under `rollback.onFailure: Hold`. The Release keeps the share of traffic that it has."
            => "Set `sluice.dev/abort` to roll back, `sluice.dev/retry` to continue from there, or \
            `sluice.dev/promote` to move the rest of the traffic ([rollouts](rollouts.md#when-a-check-fails)).";
        TargetStalled: "A Target cannot continue, or cannot make the plan of a Release that waits at a gate. The \
            message is that of the Target."
            => "Fix what the message describes; `kubectl describe stgt` shows the reason of the Target.";
        DeletionBlocked: "Sluice cannot delete a resource that the spec no longer has. The live Release is not \
            affected."
            => "Fix what the message describes. Sluice tries again.";
        GarbageCollectionFailed: "An Event: Sluice cannot remove versions or snapshots that are no longer needed. \
            Nothing else is affected."
            => "Fix what the message describes. Sluice tries again after a minute, and then after twice as long each time, up to an hour.";
        Refused: "AWS or GitLab rejects the request as invalid, or the address of a GitLabConnection or of a \
            redirect is not public."
            => "Correct what the message names. For a private GitLab, [allow](gitlab.md#networks) its network.";
        AlreadyExists: "A resource with that name exists and is not owned by this Deployment."
            => "Choose another name, or delete the resource.";
        ReleaseExists: "A Release of a former Deployment with the same name exists."
            => "Delete that Release.";
        TargetTaken: "A Target of a former Deployment with the same name is still being deleted."
            => "Wait until the Target is gone.";
        NoLiveRelease: "`Available` is False: no stage serves a good Release, a stage whose delivery failed serves \
            nothing, or Sluice could not roll a stage back. The message names the stage."
            => "See the condition `Ready` for the cause.";
        DeletionStalled: "A Target cannot undo its changes in AWS. The message gives the cause."
            => "Fix the cause, or annotate the Deployment with `sluice.dev/abandon` to give up the remaining changes.";
    }
    /// Resources in AWS that were modified externally.
    Drift {
        Drifted: "AWS differs from what the last run left. The message lists the differences."
            => "Find out who made the change. Undo it by `drift.policy: Correct`, by hand, or by the next Release.";
        InSync: "AWS matches what the last run left.";
        Correcting: "An Event: Sluice delivers the live Release again to correct drift.";
        Corrected: "An Event: Sluice has delivered the live Release again and corrected the drift.";
    }
    /// The gates of Releases and deletions.
    Gates {
        WaitingForApproval: "The gate waits for an approval or for the start of a manual job. The message names the \
            approvers and the job."
            => "Approve the Release, or start the job.";
        InvalidGate: "The gate can never open, because it or the requirements of an Account are contradictory. \
            `Ready` is False; the message names the field."
            => "Correct the field. No stage starts before that.";
        NotApproved: "A Target has a run for which its Account now requires an approval. The run waits at the gate."
            => "Approve the run.";
        SourceNotAllowed: "The Account accepts no Releases from that GitLab or project (`spec.sources`)."
            => "Ask the platform team to add the source.";
        DeletionWaits: "The delivery is complete, but a removed Target waits for the approval or the window that its \
            Account requires for deletions."
            => "Approve the deletion, or annotate the Target with `sluice.dev/abandon`, which leaves AWS as it is.";
        DeletionRejected: "An approver has rejected the deletion."
            => "To release the Target and leave AWS as it is, annotate it with `sluice.dev/abandon`.";
        OutsideWindow: "No window is open. The message gives the time when the next window opens."
            => "Wait.";
        Frozen: "A freeze period of the GitLab project is in force. The message gives its end."
            => "Wait.";
        FreezePeriodsUnknown: "Sluice cannot read the freeze periods."
            => "Give the user of the token the role Reporter, or correct the period in GitLab.";
        PolicyNotInForce: "An admission policy for Approvals or for the record (`sluice-approvals`, `sluice-records`) \
            is missing or differs from the shipped one, or did so when the Approval was created. No such Approval counts."
            => "Upgrade the chart with `admissionPolicy.enabled`, then approve again.";
        Rejected: "An approver has rejected the Release."
            => "Create another Release.";
    }
    /// Whether an Approval counts, and why not.
    Approvals {
        Counted: "The Approval counts. The stage has not started yet.";
        Used: "The stage started with the Approval, or the Release ended by it.";
        OtherPlan: "The plan has changed since the Approval."
            => "Review the new plan and approve again.";
        OtherRelease: "The Release with that name has another uid."
            => "Review the current Release and approve it.";
        NoSuchRelease: "The namespace has no Release with that name."
            => "Correct the name.";
        OtherStage: "The Release does not wait for an approval in that stage.";
        NotWaiting: "The Release does not wait for an approval in that stage now.";
        NotAsked: "The stage requires no Approvals.";
        NotAllowed: "The approver is not among the users and groups of the gate. A group counts only if the Approval \
            names it."
            => "Name the group in `spec.approver.groups`, or let another person approve.";
        Expired: "The Approval is older than `expiresAfter`."
            => "Approve again.";
        Repeated: "The same person has approved already."
            => "Let another person approve.";
        AlreadyUsed: "A stage has already started with the Approval. Each Approval counts once."
            => "Approve again.";
        AuthorBarred: "The approver is the author of the pipeline, who may not approve."
            => "Let another person approve.";
        AuthorUnknown: "The author may not approve, and the gate does not declare who the author is in Kubernetes."
            => "Add the author to the `identities` of the gate.";
    }
    /// Progress that needs no intervention.
    InProgress {
        Preparing: "The Target prepares changes that callers cannot see yet.";
        Promoting: "The Target moves traffic to the Release and checks it.";
        Progressing: "The stage is delivering the Release.";
        RollingBack: "The stage is restoring its snapshots.";
        Planning: "The Targets make the plan of the Release, which a gate needs.";
        Baking: "The traffic of a step has moved, and Sluice watches it. The message gives the remaining time.";
        WaitingForChecks: "A check is inconclusive. It never passes by that: it fails after `progressDeadline`. Or an \
            invocation is running, for as long as the `timeout` of the check permits.";
        Paused: "`sluice.dev/pause` is in force."
            => "Set `sluice.dev/resume` to continue.";
        PlanChanged: "The plan of the Release differs from the approved one. The Release waits for another approval.";
        WaitingForRelease: "Sluice has not observed the Release of the Target yet.";
        WaitingForNamespace: "Sluice has not observed the labels of the namespace yet, which select the grants.";
        WaitingForAws("WaitingForAWS"): "AWS is working on the function, or Sluice has to confirm what it read. A \
            state that does not settle while AWS is not working on it fails after `progressDeadline`.";
        WaitingForBudget: "Calls wait for their turn in the budget of AWS calls of the account and region, or the \
            Target waits to begin until others of the namespace are prepared. The message says which, and for how \
            long or for how many. This is not a failure, and no deadline runs. Rollbacks go first \
            ([budgets](accounts.md#budgets)).";
        LeaderChanged: "A new leader reads twice what its predecessor left.";
        NotLeading: "This controller is not the leader.";
        Busy: "Another change of the same object is in progress. Sluice reads the object again.";
        Stale: "The object in the Kubernetes API has changed in the meantime. Sluice reads it again.";
        Conflict: "Something else has changed the same resource in AWS or GitLab. Sluice reads it again.";
        Throttled: "GitLab or AWS receives too many calls. Sluice continues when the service permits it.";
        Unavailable: "GitLab, AWS or a proxy is not available. Sluice tries again.";
        OutcomeUnknown: "GitLab, AWS or a proxy did not answer, and the effect of the call is unknown. Sluice reads \
            before it tries again.";
        ApiServer: "The Kubernetes API refused a request or failed. The message gives the cause.";
        InternalError: "Sluice has a bug, whose effect is limited to this object."
            => "Please report it with the log.";
        Deleting: "Targets are being deleted.";
    }
    /// Normal states and events.
    Normal {
        Delivered: "The Release serves. As an Event of the Deployment: it serves in a stage, or in all stages at the end.";
        Verified: "Sluice has verified the credentials and what they give access to.";
        Serving: "`Available` is True: a good Release serves.";
        Idle: "No Release exists yet, or no run is in progress.";
        Suspended: "`spec.suspend` is set.";
        Pinned: "`spec.pin` holds a Release.";
        Unchanged: "Sluice has read the state recently and does not read it again yet.";
        Retry: "An Event: the effect of `sluice.dev/retry`. It is a Warning if the command has none.";
        Abort: "An Event: the effect of `sluice.dev/abort`. It is a Warning if the command has none.";
        Promote: "An Event: the effect of `sluice.dev/promote`. It is a Warning if the command has none.";
        Pause: "An Event: the effect of `sluice.dev/pause`. It is a Warning if the command has none.";
        Resume: "An Event: the effect of `sluice.dev/resume`. It is a Warning if the command has none.";
        Rollback: "An Event: the effect of `sluice.dev/rollback`. It is a Warning if the command has none.";
        Released: "An Event: Sluice has created a Release.";
        Delivering: "An Event: the delivery to a stage has begun.";
        TrafficMoved: "An Event: traffic has moved.";
        GateWaiting: "An Event: a Release waits at a gate.";
        GateOpened: "An Event: a gate has let a Release through.";
        Removed: "The resources of the Target or Deployment in AWS are deleted, or retained as the deletion policy says.";
        Gone: "The object is gone, or is being deleted.";
    }
}

impl Reason {
    /// The reason with this name; `None` if this version does not know it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == text)
    }

    /// Whether a Target with this reason goes forward by itself. No decision depends on such a reason.
    pub const fn is_forward_progress(self) -> bool {
        matches!(
            self,
            Self::Preparing
                | Self::Promoting
                | Self::Baking
                | Self::LeaderChanged
                | Self::WaitingForAws
        )
    }

    /// Whether a Target may wait in vain until the spec, or a resource in AWS that it names, changes.
    pub const fn needs_a_change(self) -> bool {
        matches!(self, Self::RoleNotAssumable | Self::WaitingForChecks)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn reasons_round_trip() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("OfAnotherVersion"), None);
        let words: BTreeSet<&str> = Reason::ALL.iter().map(|one| one.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
    }

    #[test]
    fn reasons_are_valid_in_kubernetes() {
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(word.starts_with(|first: char| first.is_ascii_uppercase()));
            assert!(word.chars().all(|one| one.is_ascii_alphanumeric()));
            // The maximum length of a stage's `waiting.reason`.
            assert!(word.len() <= 63, "{word}");
        }
    }

    #[test]
    fn every_explanation_is_made_of_sentences() {
        for reason in Reason::ALL {
            for text in [reason.meaning(), reason.remedy()] {
                let ends = text.ends_with('.') || text.is_empty();
                assert!(ends && !text.contains("  "), "{reason}: {text}");
            }
            assert!(!reason.meaning().is_empty(), "{reason}");
        }
    }
}
