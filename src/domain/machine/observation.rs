//! What the engine asks for and what it is told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    asked::{Ask, CheckKey, CheckResult},
    patience::Patience,
    site::SiteTask,
    snapshot::Snapshot,
};
use crate::{
    api::v1alpha1::{PlannedChange, SnapshotRef, StoredRef, StoredSnapshot},
    domain::{
        check::StageCheck,
        desired::{DesiredCheck, DesiredFunction},
        digest::Sha256,
        failure::CallError,
        function::{
            Alias, AliasTarget, CodeLocation, Function, FunctionConfiguration,
            ProvisionedConcurrency,
        },
        site::{self, SiteSeen},
    },
};

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A function's `$LATEST`.
    Function {
        /// Its name.
        name: String,
    },
    /// A version.
    Version {
        /// The function.
        name: String,
        /// The number.
        version: String,
    },
    /// How much concurrency is provisioned for an alias.
    Provisioned {
        /// The function.
        name: String,
        /// The alias.
        alias: String,
    },
    /// What invokes a function without naming a version or alias.
    Unqualified {
        /// The function.
        name: String,
    },
    /// An alias.
    Alias {
        /// The function.
        name: String,
        /// The alias.
        alias: String,
    },
    /// The snapshot that the run's status refers to.
    Snapshot,
    /// Something of files in a bucket.
    Site(Box<SiteTask>, site::Read),
}

/// A change, or an invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// The component it is for.
    pub component: String,
    /// What it is made on: the name of a function, or a bucket with a prefix.
    pub resource: String,
    /// What is done.
    pub action: Action,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Stores all changes of a plan that is too long for the status.
    StorePlan {
        /// The plan's digest.
        digest: String,
        /// The changes.
        changes: Vec<PlannedChange>,
    },
    /// Store this snapshot, with the packages it names, in the Target's bucket.
    StoreSnapshot(Box<Snapshot>),
    /// Have the Release's package in the Target's bucket.
    CopyPackage(Box<DesiredFunction>),
    /// Find a snapshot's package in the Target's bucket.
    FindPackage(Sha256),
    /// `CreateFunction`.
    Create(Box<DesiredFunction>, CodeLocation),
    /// `UpdateFunctionCode`.
    UpdateCode {
        /// `x86_64` or `arm64`.
        architecture: String,
        /// The new code.
        code: CodeLocation,
        /// The function as it was looked at.
        revision_id: String,
    },
    /// `UpdateFunctionConfiguration`.
    UpdateConfiguration {
        /// The new settings.
        configuration: Box<FunctionConfiguration>,
        /// The function as it was looked at.
        revision_id: String,
    },
    /// `TagResource` and `UntagResource`.
    SetTags {
        /// The function.
        arn: String,
        /// What it has.
        current: BTreeMap<String, String>,
        /// What it should have.
        wanted: BTreeMap<String, String>,
    },
    /// `Invoke` of a version that Lambda has put to sleep.
    Wake {
        /// The number.
        version: String,
        /// What it is invoked with, should it be awake.
        payload: String,
    },
    /// `PublishVersion`.
    Publish {
        /// What `$LATEST` must be.
        code_sha256: Sha256,
        /// The function as it was looked at.
        revision_id: String,
        /// The version's description.
        description: String,
    },
    /// `CreateAlias`.
    CreateAlias {
        /// The alias.
        alias: String,
        /// Where to.
        to: AliasTarget,
    },
    /// `UpdateAlias`.
    UpdateAlias {
        /// The alias.
        alias: String,
        /// Where to.
        to: AliasTarget,
        /// The alias as it was looked at.
        revision_id: String,
    },
    /// `DeleteAlias`.
    DeleteAlias {
        /// The alias.
        alias: String,
    },
    /// `DeleteFunction`.
    DeleteFunction,
    /// `DeleteFunction` of one version.
    DeleteVersion {
        /// The number.
        version: String,
    },
    /// Remove a snapshot from the Target's bucket.
    DeleteSnapshot(StoredSnapshot),
    /// Something to files in a bucket.
    Site(Box<SiteTask>, site::Act),
    /// A look at what a check of the stage speaks of.
    Watch {
        /// What must hold.
        check: Box<StageCheck>,
        /// Which look it is.
        key: CheckKey,
        /// What it asks.
        ask: Ask,
    },
    /// `Invoke`, and a look at the answer.
    Check {
        /// What must hold.
        check: Box<DesiredCheck>,
        /// Which look it is.
        key: CheckKey,
        /// Version or alias to invoke.
        qualifier: String,
        /// The version that must answer.
        version: String,
    },
}

/// What was read in this pass, and what this process remembers of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Functions by name: `$LATEST`, or that there is none.
    pub functions: BTreeMap<String, Option<Function>>,
    /// Versions by function and number.
    pub versions: BTreeMap<(String, String), Option<Function>>,
    /// Aliases by function (a Target has one alias a function).
    pub aliases: BTreeMap<String, Option<Alias>>,
    /// Concurrency that is provisioned for aliases, by function.
    pub provisioned: BTreeMap<String, Option<ProvisionedConcurrency>>,
    /// What invokes functions without naming a version or alias, in words, by function.
    pub unqualified: BTreeMap<String, Vec<String>>,
    /// The same functions and aliases, also where that is no base for a decision any more.
    pub last: LastSeen,
    /// Calls of this pass that failed, with the component they were made for.
    pub errors: Vec<(String, CallError)>,
    /// What this process remembers of the run.
    pub known: Known,
}

/// What was seen last, for people to read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastSeen {
    /// Functions by name.
    pub functions: BTreeMap<String, Option<Function>>,
    /// Aliases by function.
    pub aliases: BTreeMap<String, Option<Alias>>,
}

/// What this process remembers of a run between passes. Losing it costs reads, nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The digest of a plan that is too long for the status, and where all of it is stored.
    pub plan: Option<(String, StoredRef)>,
    /// The snapshot, once taken or loaded, and where it is stored.
    pub snapshot: Option<(SnapshotRef, Snapshot)>,
    /// Packages that are in the Target's bucket, by digest.
    pub packages: BTreeMap<Sha256, CodeLocation>,
    /// Versions that were published for the run, by component.
    pub published: BTreeMap<String, String>,
    /// Places by their names. What is there is looked at anew in each pass.
    pub sites: BTreeMap<String, SiteSeen>,
    /// How often in a row functions, and aliases as `function:alias`, were looked for and not found.
    pub missing: BTreeMap<String, u32>,
    /// Checks that were made.
    pub checks: BTreeMap<CheckKey, CheckResult>,
    /// Whether this process wrote the journal's current step: if not, nothing is taken as given.
    pub recorded_here: bool,
    /// Snapshots that were removed, by key and version.
    pub discarded: BTreeSet<(String, String)>,
    /// Since when a check that must be told before the run can't be.
    pub waiting_since: Option<Timestamp>,
    /// When something last moved, or this process first looked, if that is later than what the status
    /// says.
    pub progressed_at: Option<Timestamp>,
    /// When this process last looked.
    pub looked_at: Option<Timestamp>,
    /// When AWS was last seen at work: that counts for no deadline.
    pub at_work_at: Option<Timestamp>,
    /// After taking over a run: no change before this, and only after another look, because a
    /// predecessor's last call may still be on its way.
    pub hold_until: Option<Timestamp>,
    /// What deadlines and repetitions count from.
    pub patience: Patience,
}

impl Effect {
    /// AWS's name of the call, for journal, metrics and messages.
    pub fn operation(&self) -> &'static str {
        match &self.action {
            Action::StorePlan { .. } => "StorePlan",
            Action::StoreSnapshot(_) => "StoreSnapshot",
            Action::CopyPackage(_) => "CopyPackage",
            Action::FindPackage(_) => "FindPackage",
            Action::Create(..) => "CreateFunction",
            Action::UpdateCode { .. } => "UpdateFunctionCode",
            Action::UpdateConfiguration { .. } => "UpdateFunctionConfiguration",
            Action::SetTags { .. } => "TagResource",
            Action::Publish { .. } => "PublishVersion",
            Action::CreateAlias { .. } => "CreateAlias",
            Action::UpdateAlias { .. } => "UpdateAlias",
            Action::DeleteAlias { .. } => "DeleteAlias",
            Action::DeleteFunction | Action::DeleteVersion { .. } => "DeleteFunction",
            Action::DeleteSnapshot(_) => "DeleteSnapshot",
            Action::Site(_, act) => act.operation(),
            Action::Check { .. } | Action::Wake { .. } => "Invoke",
            Action::Watch { .. } => "Watch",
        }
    }
}

/// What a carried-out effect answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The plan is stored here.
    Planned(StoredRef),
    /// The snapshot is stored here.
    Stored(SnapshotRef),
    /// The package is there.
    Package(CodeLocation),
    /// The function, or the version, as it is now.
    Function(Box<Function>),
    /// The alias as it is now.
    Alias(Alias),
    /// What is known of the place now, and what failed of what was done there.
    Site(Box<SiteSeen>, Vec<CallError>),
    /// Done, with nothing to say.
    Done,
    /// The invocation is under way.
    Running,
    /// What the check came to.
    Checked(CheckResult),
}

impl Observation {
    /// Nothing seen yet in this pass, which begins `now`. What could not be told in the last one is asked
    /// again.
    pub fn of(mut known: Known, now: Timestamp) -> Self {
        known.look(now);
        let again = known.patience.is_watch_due(now);
        known.patience.running.clear();
        known.checks.retain(|key, result| {
            let asked_again = again && key.is_of_stage();
            !asked_again && !matches!(result, CheckResult::NotYet(_))
        });
        known.sites.values_mut().for_each(SiteSeen::forget_objects);
        Self {
            known,
            ..Self::default()
        }
    }

    /// Takes in `$LATEST` of a function, or that there is none.
    pub fn saw_function(&mut self, name: String, function: Option<Function>) {
        self.looked_for(name.clone(), function.is_some());
        self.saw_at_work(function.as_ref());
        self.last.functions.insert(name.clone(), function.clone());
        self.functions.insert(name, function);
    }

    /// Takes in a version of a function, or that there is none.
    pub fn saw_version(&mut self, name: String, version: String, found: Option<Function>) {
        self.saw_at_work(found.as_ref());
        self.versions.insert((name, version), found);
    }

    fn saw_at_work(&mut self, function: Option<&Function>) {
        if function.is_some_and(Function::is_settling) {
            self.known.at_work_at = self.known.looked_at;
        }
    }

    /// Takes in an alias, or that there is none.
    pub fn saw_alias(&mut self, name: String, alias: &str, found: Option<Alias>) {
        self.looked_for(format!("{name}:{alias}"), found.is_some());
        self.last.aliases.insert(name.clone(), found.clone());
        self.aliases.insert(name, found);
    }

    /// Whether what was not found is really not there. AWS answers with what once was now and then, and
    /// an old "there is none" must neither have something made nor, on the way back, deleted: it counts
    /// when another pass finds the same.
    pub fn is_surely_missing(&self, what: &str) -> bool {
        self.known.missing.get(what).is_some_and(|times| *times > 1)
    }

    fn looked_for(&mut self, what: String, found: bool) {
        if found {
            self.known.missing.remove(&what);
        } else {
            *self.known.missing.entry(what).or_default() += 1;
        }
    }

    /// Takes in what an effect answered.
    ///
    /// While putting things back (`verify`), no reply is taken for the state: it is read again.
    pub fn note(&mut self, effect: &Effect, reply: Reply, verify: bool, now: Timestamp) {
        let name = effect.resource.clone();
        self.known.sent(effect);
        match (&effect.action, reply) {
            (Action::Check { key, .. }, Reply::Running) => {
                // Whoever asked for the check said how long it may take.
                self.known.at_work_at = self.known.looked_at;
                self.known.patience.running.insert(key.clone());
                return;
            }
            (Action::Wake { version, .. }, _) => {
                // What never wakes makes no progress by that.
                self.known.patience.note_woken(&name, version, now);
                self.versions.remove(&(name, version.clone()));
                return;
            }
            (Action::StorePlan { digest, .. }, Reply::Planned(stored)) => {
                self.known.plan = Some((digest.clone(), stored));
            }
            (Action::StoreSnapshot(snapshot), Reply::Stored(reference)) => {
                self.known.snapshot = Some((reference, (**snapshot).clone()));
            }
            (Action::CopyPackage(want), Reply::Package(code)) => {
                self.known.packages.insert(want.code_sha256, code);
            }
            (Action::FindPackage(digest), Reply::Package(code)) => {
                self.known.packages.insert(*digest, code);
            }
            (Action::Check { key, .. } | Action::Watch { key, .. }, Reply::Checked(result)) => {
                let waits = matches!(result, CheckResult::NotYet(_));
                if key.is_of_stage() {
                    self.known.patience.watched_at = Some(now);
                }
                self.known.checks.insert(key.clone(), result);
                if waits {
                    // Waiting is no progress.
                    self.known.waiting_since.get_or_insert(now);
                    return;
                }
            }
            (Action::Publish { .. }, Reply::Function(version)) => {
                self.known
                    .published
                    .insert(effect.component.clone(), version.version.clone());
                self.saw_version(name, version.version.clone(), Some(*version));
            }
            // What was deleted is expected to be gone: one look is enough.
            (Action::DeleteFunction, _) => {
                self.forget(&name);
                self.looked_for(name, false);
            }
            (Action::DeleteAlias { alias }, _) => {
                self.forget(&name);
                self.looked_for(format!("{name}:{alias}"), false);
            }
            (Action::DeleteVersion { version }, _) => {
                self.versions.insert((name, version.clone()), None);
            }
            (Action::DeleteSnapshot(it), _) => {
                let removed = (it.key.clone(), it.version_id.clone());
                self.known.discarded.insert(removed);
            }
            (_, Reply::Site(site, failed)) => {
                self.known.sites.insert(name, *site);
                let component = &effect.component;
                let failed = failed.into_iter().map(|error| (component.clone(), error));
                self.errors.extend(failed);
                if !self.errors.is_empty() {
                    return;
                }
            }
            (action, Reply::Function(mut function)) if !verify => {
                // Only GetFunction tells the tags; no other call changes them, but for the creation.
                function.tags = match (action, self.functions.get(&name)) {
                    (Action::Create(want, _), _) => want.tags.clone(),
                    (_, Some(Some(before))) => before.tags.clone(),
                    _ => function.tags,
                };
                self.saw_function(name, Some(*function));
            }
            (
                Action::CreateAlias { alias, .. } | Action::UpdateAlias { alias, .. },
                Reply::Alias(now),
            ) if !verify => {
                self.provisioned.remove(&name);
                self.saw_alias(name, alias, Some(now));
                // The RevisionId that the journal holds is an old one now.
                self.known.recorded_here = false;
            }
            _ => {
                self.last.functions.remove(&name);
                self.last.aliases.remove(&name);
                self.forget(&name);
            }
        }
        self.known.progressed_at = Some(now);
    }

    /// What was seen on the way forward is no base for going back.
    pub fn turn_back(&mut self) {
        let sites = self.known.sites.values_mut();
        sites.for_each(SiteSeen::forget_objects);
        self.known.patience.forget_updates();
        self.functions.clear();
        self.aliases.clear();
        self.provisioned.clear();
        self.errors.clear();
    }

    pub(super) fn forget(&mut self, resource: &str) {
        self.functions.remove(resource);
        self.aliases.remove(resource);
        self.provisioned.remove(resource);
        let of_it = |what: &String| what.split(':').next() == Some(resource);
        self.known.missing.retain(|what, _| !of_it(what));
    }
}
