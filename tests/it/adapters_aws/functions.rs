//! Functions, versions and aliases.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use sluice::{
    domain::{
        digest::Sha256,
        workload::lambda::{AliasTarget, FunctionState},
    },
    ports::CallErrorKind,
};

use super::{Fixture, PATIENCE, settled};

fn target(version: &str, weights: &[(&str, f64)]) -> AliasTarget {
    AliasTarget {
        version: version.to_owned(),
        weights: weights
            .iter()
            .map(|(version, weight)| (version.to_string(), *weight))
            .collect(),
        description: "live".into(),
    }
}

fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

#[tokio::test]
async fn function_round_trips_through_the_adapter() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("written-").await;
    let name = "written-api";
    assert_eq!(functions.get(name, None).await, Ok(None));

    let (code, bytes) = fixture.package(name, "one").await;
    let configuration = fixture.configuration();
    let owner = tags(&[("sluice.dev/name", "checkout"), ("team", "shop")]);
    let made = functions
        .create(name, "arm64", &code, &configuration, &owner)
        .await;
    let made = made.expect("created");
    assert_eq!(made.version, "$LATEST");
    assert_eq!(made.code_sha256, Sha256::of(&bytes));

    let function = settled(&*functions, name, None).await;
    assert_eq!(function.configuration, configuration);
    assert_eq!(function.architecture, "arm64");
    assert_eq!(function.tags, owner);
    assert_eq!(usize::try_from(function.code_size), Ok(bytes.len()));
    assert!(
        function.arn.ends_with(":function:written-api"),
        "{}",
        function.arn
    );

    let again = functions
        .create(name, "arm64", &code, &configuration, &owner)
        .await;
    assert_eq!(
        again.map_err(|error| error.kind),
        Err(CallErrorKind::AlreadyExists)
    );

    let wanted = tags(&[("sluice.dev/name", "basket")]);
    functions
        .set_tags(&function.arn, &owner, &wanted)
        .await
        .expect("tagged");
    let mut changed = configuration.clone();
    changed.environment.clear();
    changed.description.clear();
    changed.memory_size = 512;
    functions
        .update_configuration(name, &changed, &function.revision_id)
        .await
        .expect("updated");
    let function = settled(&*functions, name, None).await;
    assert_eq!(function.configuration, changed);
    assert_eq!(function.tags, wanted);

    let (size, body) = functions.package(name).await.expect("a package");
    let downloaded: Vec<_> = body.try_collect().await.expect("the whole package");
    assert_eq!(size, bytes.len() as u64);
    assert_eq!(downloaded.concat(), bytes);

    functions.delete(name, None).await.expect("deleted");
    assert_eq!(functions.get(name, None).await, Ok(None));
    assert_eq!(functions.delete(name, None).await, Ok(()));
}

#[tokio::test]
async fn writes_with_a_stale_revision_are_refused() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("stale-").await;
    let name = "stale-api";
    let old = fixture.function(&*functions, name).await;
    let (code, bytes) = fixture.package(name, "two").await;
    functions
        .update_code(name, "x86_64", &code, &old.revision_id)
        .await
        .expect("updated");
    let busy = functions
        .publish(name, &old.code_sha256, &old.revision_id, "early")
        .await;
    assert_eq!(busy.map_err(|error| error.kind), Err(CallErrorKind::Busy));
    let new = settled(&*functions, name, None).await;
    assert_eq!(new.code_sha256, Sha256::of(&bytes));

    let stale = Err(CallErrorKind::Stale);
    let kind = |error: sluice::ports::CallError| error.kind;
    let code = functions
        .update_code(name, "x86_64", &code, &old.revision_id)
        .await;
    assert_eq!(code.map(drop).map_err(kind), stale);
    let settings = fixture.configuration();
    let settings = functions
        .update_configuration(name, &settings, &old.revision_id)
        .await;
    assert_eq!(settings.map(drop).map_err(kind), stale);
    let revision = functions
        .publish(name, &new.code_sha256, &old.revision_id, "late")
        .await;
    assert_eq!(revision.map(drop).map_err(kind), stale);
    let digest = functions
        .publish(name, &old.code_sha256, &new.revision_id, "other")
        .await;
    assert_eq!(digest.map(drop).map_err(kind), stale);
}

#[tokio::test]
async fn alias_moves_between_versions_with_weights() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("moved-").await;
    let name = "moved-api";
    let one = fixture.function(&*functions, name).await;
    let first = functions
        .publish(name, &one.code_sha256, &one.revision_id, "release 1")
        .await
        .expect("published");
    assert_eq!(first.version, "1");
    assert_eq!(first.configuration.description, "release 1");
    let (code, _) = fixture.package(name, "two").await;
    functions
        .update_code(name, "x86_64", &code, &one.revision_id)
        .await
        .expect("updated");
    let two = settled(&*functions, name, None).await;
    let second = functions
        .publish(name, &two.code_sha256, &two.revision_id, "release 2")
        .await
        .expect("published");
    let second = settled(&*functions, name, Some(&second.version)).await;
    assert_eq!(second.state, FunctionState::Active);
    assert_eq!(second.arn, one.arn);

    assert_eq!(functions.alias(name, "live").await, Ok(None));
    let missing = functions
        .create_alias(name, "live", &target("9", &[]))
        .await;
    assert_eq!(
        missing.map_err(|error| error.kind),
        Err(CallErrorKind::NotFound)
    );
    let to = target("1", &[]);
    let made = functions
        .create_alias(name, "live", &to)
        .await
        .expect("created");
    let again = functions.create_alias(name, "live", &to).await;
    assert_eq!(
        again.map_err(|error| error.kind),
        Err(CallErrorKind::AlreadyExists)
    );

    let shared = target("1", &[("2", 0.1)]);
    let moved = functions
        .update_alias(name, "live", &shared, &made.revision_id)
        .await;
    let moved = moved.expect("moved");
    assert_eq!(moved.weights, shared.weights);
    let late = functions
        .update_alias(name, "live", &to, &made.revision_id)
        .await;
    assert_eq!(late.map_err(|error| error.kind), Err(CallErrorKind::Stale));
    let whole = functions
        .update_alias(name, "live", &target("2", &[]), &moved.revision_id)
        .await
        .expect("moved");
    let read = functions
        .alias(name, "live")
        .await
        .expect("an answer")
        .expect("an alias");
    assert_eq!(read, whole);
    assert!(read.weights.is_empty());

    let answer = functions
        .invoke(name, "live", br#"{"ping":true}"#, PATIENCE)
        .await
        .expect("an answer");
    assert_eq!(answer.executed_version.as_deref(), Some("2"));
    assert_eq!(answer.function_error, None);
    assert_eq!(&answer.payload[..], br#""two""#);

    functions.delete_alias(name, "live").await.expect("deleted");
    assert_eq!(functions.alias(name, "live").await, Ok(None));
    assert_eq!(functions.delete_alias(name, "live").await, Ok(()));
    functions.delete(name, Some("1")).await.expect("deleted");
    assert_eq!(functions.get(name, Some("1")).await, Ok(None));
    assert!(
        functions
            .get(name, Some("2"))
            .await
            .expect("an answer")
            .is_some()
    );
}

#[tokio::test]
async fn latest_version_is_never_deleted() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("latest-").await;
    let error = functions
        .delete("latest-api", Some("$LATEST"))
        .await
        .expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Invalid);
}

#[tokio::test]
async fn unassumable_role_and_missing_package_have_own_error_kinds() {
    let fixture = Fixture::new().await;
    let functions = fixture.functions("refused-").await;
    let name = "refused-api";
    let (code, _) = fixture.package(name, "one").await;
    let mut configuration = fixture.configuration();
    configuration.role = format!("{}-new", configuration.role);
    let create = |code, configuration| {
        let functions = functions.clone();
        async move {
            let none = BTreeMap::new();
            let result = functions
                .create(name, "x86_64", &code, &configuration, &none)
                .await;
            result.map(drop).map_err(|error| error.kind)
        }
    };
    let mut missing = code.clone();
    missing.key.push_str("-missing");
    let result = create(code, configuration).await;
    assert_eq!(result, Err(CallErrorKind::RoleNotAssumable));
    let result = create(missing, fixture.configuration()).await;
    assert_eq!(result, Err(CallErrorKind::NotFound));
}
