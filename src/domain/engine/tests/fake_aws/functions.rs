//! Lambda: reads and changes of functions, versions and aliases, and checks of versions.

use std::collections::BTreeMap;

use super::{
    deployed::{Deployed, alias, current_alias, without_tags},
    state::FakeAws,
};
use crate::domain::{
    check::{CheckKey, CheckPhase, Verdict},
    digest::Sha256,
    engine::{Effect, Reply},
    failure::{CallError, CallErrorKind},
    workload::lambda::{
        self, Alias, CodeLocation, Function, FunctionConfiguration, FunctionState, LastUpdate,
        ProvisionedConcurrency,
    },
};

impl FakeAws {
    /// `is_stale` is whether AWS replies with a state from before the resource existed.
    pub(super) fn read_function(&self, read: &lambda::Read, is_stale: bool) -> lambda::Found {
        let deployed = self.functions.get(read.function()).filter(|_| !is_stale);
        match read {
            lambda::Read::Function { name } => {
                let latest = deployed.map(|deployed| Box::new(deployed.latest.clone()));
                lambda::Found::Function(name.clone(), latest)
            }
            lambda::Read::Version { name, version } => {
                let number: u32 = version.parse().expect("a number");
                let found = deployed.and_then(|deployed| deployed.versions.get(&number));
                let found = found.cloned().map(Box::new);
                lambda::Found::Version(name.clone(), version.clone(), found)
            }
            lambda::Read::Alias { name, alias } => {
                let found = deployed.and_then(|deployed| deployed.alias.clone());
                lambda::Found::Alias(name.clone(), alias.clone(), found)
            }
            lambda::Read::Provisioned { name, .. } => {
                let alias = deployed.and_then(|it| it.alias.as_ref());
                let is_out = alias.is_some_and(|it| self.out_of_concurrency.contains(&it.version));
                let failure = (is_out && !self.reports_ready).then(|| "no more is left".into());
                let is_allocating = failure.is_none() && !self.reports_ready;
                let found = self
                    .provisioned
                    .get(name)
                    .map(|requested| ProvisionedConcurrency {
                        requested: *requested,
                        is_allocating,
                        failure,
                    });
                lambda::Found::Provisioned(name.clone(), found)
            }
            lambda::Read::Unqualified { name } => {
                let callers = self.unqualified.get(name).cloned().unwrap_or_default();
                lambda::Found::Unqualified(name.clone(), callers)
            }
        }
    }

    pub(super) fn check(
        &self,
        effect: &Effect,
        version: &str,
        key: &CheckKey,
    ) -> Result<Reply, CallError> {
        let Some(deployed) = self.functions.get(&effect.resource) else {
            return Err(refused(effect, CallErrorKind::NotFound, "gone"));
        };
        let number: u32 = version.parse().expect("a number");
        let digest = deployed.versions[&number].code_sha256;
        if self.slow.contains(&digest) {
            return Ok(Reply::Running(key.clone()));
        }
        let shows = !self.bad_once_served || key.moment.phase == CheckPhase::AfterTraffic;
        let verdict = if self.bad.contains(&digest) && shows {
            Verdict::Failed("check smoke failed".into())
        } else if self.inconclusive.contains(&digest) {
            Verdict::Inconclusive("check smoke: no answer".into())
        } else {
            Verdict::Passed
        };
        Ok(Reply::Checked(key.clone(), verdict))
    }

    #[allow(clippy::too_many_lines, reason = "one arm per action of the fake AWS")]
    pub(super) fn change(
        &mut self,
        effect: &Effect,
        action: &lambda::Action,
    ) -> Result<lambda::Reply, CallError> {
        use lambda::{Action, Reply};
        let name = effect.resource.clone();
        let fail = |kind, message: &str| Err(refused(effect, kind, message));
        let revision = self.revision();
        let location = |digest: Sha256| CodeLocation {
            bucket: "b".into(),
            key: digest.to_string(),
            version_id: "1".into(),
        };
        match action {
            Action::CopyPackage(want) => {
                self.packages.push(want.code_sha256);
                return Ok(Reply::Package(want.code_sha256, location(want.code_sha256)));
            }
            Action::FindPackage(digest) => {
                return if self.packages.contains(digest) {
                    Ok(Reply::Package(*digest, location(*digest)))
                } else {
                    fail(CallErrorKind::NotFound, "no such package")
                };
            }
            Action::Create(want, code) => {
                if self.refused.contains(&name) {
                    return fail(CallErrorKind::Invalid, "the runtime is not supported");
                }
                if self.functions.contains_key(&name) {
                    return fail(CallErrorKind::AlreadyExists, "exists");
                }
                let latest = Function {
                    arn: format!("arn:aws:lambda:eu-west-1:222222222222:function:{name}"),
                    version: "$LATEST".into(),
                    code_sha256: Sha256::from_hex(&code.key).expect("a digest"),
                    code_size: 1,
                    architecture: want.architecture.clone(),
                    configuration: want.configuration.clone(),
                    revision_id: revision,
                    state: FunctionState::Pending,
                    last_update: LastUpdate::Successful,
                    dead_letter_queue: None,
                    tags: want.tags.clone(),
                    last_modified: None,
                };
                let deployed = Deployed {
                    latest: latest.clone(),
                    versions: BTreeMap::new(),
                    alias: None,
                    other: None,
                    next_version: 1,
                    settles_in: 2,
                };
                self.functions.insert(name, deployed);
                return Ok(Reply::Created(Box::new(latest)));
            }
            Action::DeleteFunction => {
                self.functions.remove(&name);
                return Ok(Reply::FunctionDeleted);
            }
            _ => {}
        }
        let sleeps = self.inactive_functions.contains(&name);
        let shows = self.broken.get(&name) != Some(&false);
        let provisioned = self.provisioned.contains_key(&name);
        let Some(deployed) = self.functions.get_mut(&name) else {
            return fail(CallErrorKind::NotFound, "gone");
        };
        let busy = deployed.settles_in > 0;
        let current = deployed.latest.revision_id.clone();
        let refusal = |revision_id: &str| {
            if busy {
                Some((CallErrorKind::Busy, "an update is in progress"))
            } else if revision_id == current {
                None
            } else {
                Some((CallErrorKind::Stale, "the revision does not match"))
            }
        };
        match action {
            Action::UpdateCode {
                revision_id,
                code,
                architecture,
            } => {
                if let Some((kind, why)) = refusal(revision_id) {
                    return fail(kind, why);
                }
                if shows {
                    deployed.latest.code_sha256 = Sha256::from_hex(&code.key).expect("a digest");
                    deployed.latest.architecture.clone_from(architecture);
                }
                Ok(deployed.begin_update(revision))
            }
            Action::UpdateConfiguration {
                configuration,
                revision_id,
            } => {
                if let Some((kind, why)) = refusal(revision_id) {
                    return fail(kind, why);
                }
                if shows {
                    deployed.latest.configuration = (**configuration).clone();
                }
                Ok(deployed.begin_update(revision))
            }
            Action::SetTags { wanted, .. } => {
                deployed.latest.tags.clone_from(wanted);
                Ok(Reply::TagsSet)
            }
            Action::Publish {
                code_sha256,
                revision_id,
                description,
            } => {
                if let Some((kind, why)) = refusal(revision_id) {
                    return fail(kind, why);
                }
                if *code_sha256 != deployed.latest.code_sha256 {
                    return fail(CallErrorKind::Stale, "the revision does not match");
                }
                let last = deployed
                    .versions
                    .last_key_value()
                    .map(|(_, version)| version.clone());
                // A version has a description of its own.
                let mut settings = deployed.latest.configuration.clone();
                settings.description.clone_from(description);
                let version = match last {
                    Some(last)
                        if last.code_sha256 == deployed.latest.code_sha256
                            && FunctionConfiguration {
                                description: description.clone(),
                                ..last.configuration.clone()
                            } == settings =>
                    {
                        last
                    }
                    _ => {
                        // Like AWS: no number is used twice.
                        let number = deployed.next_version;
                        deployed.next_version += 1;
                        let mut version = deployed.latest.clone();
                        version.version = number.to_string();
                        version.configuration = settings;
                        version.state = FunctionState::Pending;
                        deployed.versions.insert(number, version.clone());
                        version
                    }
                };
                Ok(Reply::Published(Box::new(without_tags(&version))))
            }
            Action::CreateAlias { to, alias: name } if deployed.alias.is_none() => {
                deployed.alias = Some(alias(to, revision));
                Ok(Reply::Routed {
                    alias: name.clone(),
                    now: alias(to, current_alias(deployed)),
                })
            }
            Action::CreateAlias { .. } => fail(CallErrorKind::AlreadyExists, "exists"),
            Action::UpdateAlias {
                to,
                revision_id,
                alias: name,
            } => {
                if current_alias(deployed) != *revision_id {
                    return fail(CallErrorKind::Stale, "the revision does not match");
                }
                let mut now = alias(to, revision);
                let before = deployed.alias.as_ref().map(|alias| alias.version.clone());
                if let Some(before) = before.filter(|before| provisioned && *before != to.version) {
                    now.weights = [(before, 1.0)].into();
                }
                deployed.alias = Some(now.clone());
                Ok(Reply::Routed {
                    alias: name.clone(),
                    now,
                })
            }
            Action::DeleteAlias { alias } => {
                deployed.alias = None;
                Ok(Reply::AliasDeleted {
                    alias: alias.clone(),
                })
            }
            Action::DeleteVersion { version } => {
                let used = |alias: &Alias| {
                    alias.version == *version || alias.weights.contains_key(version)
                };
                if deployed.alias.as_ref().is_some_and(used)
                    || deployed.other == Some(version.clone())
                {
                    return fail(CallErrorKind::Busy, "an alias references it");
                }
                let number: u32 = version.parse().expect("a number");
                deployed.versions.remove(&number);
                Ok(Reply::VersionDeleted {
                    version: version.clone(),
                })
            }
            Action::Wake { version, .. } => {
                let number: u32 = version.parse().expect("a number");
                let woken = deployed.versions.get_mut(&number).expect("a version");
                if !sleeps {
                    woken.state = FunctionState::Pending;
                }
                Ok(Reply::Woken {
                    version: version.clone(),
                })
            }
            _ => unreachable!("handled above"),
        }
    }
}

fn refused(effect: &Effect, kind: CallErrorKind, message: &str) -> CallError {
    CallError::new(effect.operation(), &effect.resource, kind, message)
}
