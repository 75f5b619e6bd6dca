//! Which resources of users the reads and changes of a wave touch, so that grants are asked about each of
//! them, whatever order they come from.

use super::observation::{Action, Effect, Read};
use crate::domain::grants::{Permissions, Resource};

/// Why these reads may not be made; `None` where grants allow every one.
pub fn refused_read(reads: &[Read], permissions: &Permissions) -> Option<String> {
    let mut touched = reads.iter().filter_map(read);
    touched.find_map(|resource| permissions.refusal(resource))
}

/// Why these effects may not be carried out; `None` where grants allow every one. Nothing of a wave is
/// carried out of which a part is refused.
pub fn refused_effect(effects: &[Effect], permissions: &Permissions) -> Option<String> {
    let mut touched = effects.iter().filter_map(effect);
    touched.find_map(|resource| permissions.refusal(resource))
}

fn read(read: &Read) -> Option<Resource<'_>> {
    match read {
        Read::Function { name }
        | Read::Version { name, .. }
        | Read::Provisioned { name, .. }
        | Read::Unqualified { name }
        | Read::Alias { name, .. } => Some(Resource::Function(name)),
        Read::Site(task, _) => Some(Resource::Bucket(&task.place.bucket)),
        // It lies in the Target's own folder of the artifact bucket.
        Read::Snapshot => None,
    }
}

fn effect(effect: &Effect) -> Option<Resource<'_>> {
    let name = &effect.resource;
    match &effect.action {
        Action::Create(want, _) => {
            let role = &want.configuration.role;
            Some(Resource::FunctionWithRole(name, role))
        }
        Action::UpdateConfiguration { configuration, .. } => {
            Some(Resource::FunctionWithRole(name, &configuration.role))
        }
        Action::UpdateCode { .. }
        | Action::SetTags { .. }
        | Action::Publish { .. }
        | Action::CreateAlias { .. }
        | Action::UpdateAlias { .. }
        | Action::DeleteAlias { .. }
        | Action::DeleteFunction
        | Action::DeleteVersion { .. }
        | Action::Wake { .. }
        | Action::Check { .. } => Some(Resource::Function(name)),
        Action::Site(task, _) => Some(Resource::Bucket(&task.place.bucket)),
        // What is stored lies in the artifact bucket, in the Target's own folder or under its digest. What
        // alarms, metrics and URLs say is read without a grant that names them.
        Action::StorePlan { .. }
        | Action::StoreSnapshot(_)
        | Action::CopyPackage(_)
        | Action::FindPackage(_)
        | Action::DeleteSnapshot(_)
        | Action::Watch { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{
        function::{AliasTarget, FunctionConfiguration},
        grants::Allowed,
        machine::SiteTask,
        site::{self, Place},
    };

    fn permissions() -> Permissions {
        Permissions {
            account: "dev".into(),
            grants: vec![Allowed {
                functions: vec!["shop-*".into()],
                roles: vec!["lambda-*".into()],
                buckets: vec!["shop-site".into()],
                may_adopt: false,
            }],
            ..Permissions::default()
        }
    }

    fn on(resource: &str, action: Action) -> Effect {
        Effect {
            component: "api".into(),
            resource: resource.into(),
            action,
        }
    }

    fn with_role(role: &str) -> Action {
        let configuration = FunctionConfiguration {
            runtime: "python3.13".into(),
            handler: "app.handler".into(),
            role: format!("arn:aws:iam::222222222222:role/{role}"),
            memory_size: 128,
            timeout: 3,
            environment: BTreeMap::new(),
            description: String::new(),
        };
        Action::UpdateConfiguration {
            configuration: Box::new(configuration),
            revision_id: "1".into(),
        }
    }

    fn task(bucket: &str) -> Box<SiteTask> {
        Box::new(SiteTask {
            place: Place::new(bucket, "docs").unwrap(),
            archive: None,
            copies: String::new(),
        })
    }

    #[test]
    fn every_change_of_a_function_takes_a_grant_of_it() {
        let all = [
            Action::DeleteFunction,
            Action::DeleteVersion {
                version: "1".into(),
            },
            Action::DeleteAlias {
                alias: "live".into(),
            },
            Action::UpdateAlias {
                alias: "live".into(),
                to: AliasTarget {
                    version: "1".into(),
                    weights: BTreeMap::new(),
                    description: String::new(),
                },
                revision_id: "1".into(),
            },
            Action::SetTags {
                arn: String::new(),
                current: BTreeMap::new(),
                wanted: BTreeMap::new(),
            },
            with_role("lambda-exec"),
        ];
        for action in all {
            let granted = [on("shop-api", action.clone())];
            assert_eq!(refused_effect(&granted, &permissions()), None);
            // One that is not allowed stops the whole wave.
            let wave = [granted[0].clone(), on("pay-api", action)];
            let why = refused_effect(&wave, &permissions()).unwrap();
            assert!(why.contains("function pay-api"), "{why}");
        }
    }

    #[test]
    fn a_role_that_is_put_back_takes_a_grant_as_well() {
        let wave = [on("shop-api", with_role("admin"))];
        let why = refused_effect(&wave, &permissions()).unwrap();
        assert!(why.contains("function shop-api with role admin"), "{why}");
    }

    #[test]
    fn files_take_a_grant_of_their_bucket() {
        let act = |bucket: &str| {
            let act = site::Act::Delete(Vec::new());
            [on("place", Action::Site(task(bucket), act))]
        };
        assert_eq!(refused_effect(&act("shop-site"), &permissions()), None);
        let why = refused_effect(&act("pay-site"), &permissions()).unwrap();
        assert!(why.contains("bucket pay-site"), "{why}");
    }

    #[test]
    fn reads_take_a_grant_and_what_is_kept_takes_none() {
        let read = |name: &str| [Read::Function { name: name.into() }];
        assert_eq!(refused_read(&read("shop-api"), &permissions()), None);
        assert!(refused_read(&read("pay-api"), &permissions()).is_some());
        assert_eq!(refused_read(&[Read::Snapshot], &permissions()), None);
    }
}
