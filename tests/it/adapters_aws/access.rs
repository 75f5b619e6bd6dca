//! Credentials, sessions and identities, and calls that are refused.

use std::sync::Arc;

use futures::future::join_all;
use sluice::{
    domain::grants::Holder,
    ports::{CallErrorKind, cloud::Cloud as _},
};
use sluice_lab::aws::{Call, REGIONS};

use super::{Fixture, HUB_KEY, REGION, allowed, by_key, by_role, by_token};

#[tokio::test]
async fn each_kind_of_credentials_opens_its_account() {
    let fixture = Fixture::new().await;
    let dev = fixture.lab.dev();
    let token = fixture.add("dev-by-token", dev, by_token(dev));
    for (account, arn) in [
        (fixture.account("hub"), "user/sluice"),
        (
            fixture.account("dev"),
            "assumed-role/sluice-deployer/sluice",
        ),
        (token, "assumed-role/sluice-web-identity/sluice"),
    ] {
        let identity = fixture.cloud.identity(&account).await.expect("an identity");
        assert_eq!(identity.account_id, account.spec.account_id);
        assert!(identity.arn.ends_with(arn), "{}", identity.arn);
    }
}

#[tokio::test]
async fn client_and_session_are_created_once() {
    let fixture = Fixture::new().await;
    let lab = fixture.lab;
    // No other test assumes the hub's role from this region.
    let (region, permissions) = (REGIONS[1], allowed("once-*"));
    let account = fixture.add("once", lab.hub(), by_role(lab.hub(), "hub"));
    let mark = lab.mark();
    let first = fixture.cloud.functions(&account, region, &permissions);
    let first = first.await.expect("a client");
    let again = fixture.cloud.functions(&account, region, &permissions);
    assert!(Arc::ptr_eq(&first, &again.await.expect("the client")));
    assert_eq!(first.get("once-missing", None).await, Ok(None));
    assert_eq!(first.alias("once-missing", "live").await, Ok(None));
    let calls = lab.calls_since(mark).only(|call| {
        let of_role = call.resource == lab.hub().role_arn;
        call.region.as_deref() == Some(region) && (of_role || call.resource == "once-missing")
    });
    let expected = ["sts:AssumeRole", "lambda:GetFunction", "lambda:GetAlias"];
    assert_eq!(calls.names(), expected);
}

#[tokio::test]
async fn clients_of_a_target_share_one_session_with_its_name() {
    let fixture = Fixture::new().await;
    let lab = fixture.lab;
    let region = REGIONS[0];
    let account = fixture.add("named", lab.hub(), by_role(lab.hub(), "hub"));
    let mut permissions = allowed("named-*");
    permissions.holder = Holder {
        namespace: "shop".into(),
        deployment: "named".into(),
        target: "named-dev".into(),
    };
    let mark = lab.mark();
    let cloud = &fixture.cloud;
    let (functions, sites, monitoring) = tokio::join!(
        cloud.functions(&account, region, &permissions),
        cloud.sites(&account, region, &permissions),
        cloud.monitoring(&account, region, &permissions),
    );
    assert!(functions.is_ok() && sites.is_ok() && monitoring.is_ok());
    let calls = lab.calls_since(mark);
    let named = |call: &&Call| call.qualifier.as_deref() == Some("sluice.shop.named");
    let sessions = calls.named("sts", "AssumeRole").filter(named).count();
    assert_eq!(sessions, 1);
}

#[tokio::test]
async fn changed_account_gets_a_new_client() {
    let fixture = Fixture::new().await;
    let permissions = allowed("changed-*");
    let client = || async {
        let dev = fixture.account("dev");
        fixture.cloud.functions(&dev, REGION, &permissions).await
    };
    let first = client().await.expect("a client");
    // dev's role is assumed through the hub.
    fixture.add("hub", fixture.lab.hub(), by_key());
    let second = client().await.expect("a client");
    assert!(!Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn wrong_external_id_error_names_the_role_and_the_cause() {
    let fixture = Fixture::new().await;
    let mut credentials = by_role(fixture.lab.dev(), "hub");
    if let Some(role) = &mut credentials.assume_role {
        role.external_id = Some("guessed".into());
    }
    let account = fixture.add("stranger", fixture.lab.dev(), credentials);
    let error = fixture.cloud.identity(&account).await.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
    assert!(
        error.resource.contains(&fixture.lab.dev().role_arn),
        "{error}"
    );
    assert!(error.message.contains("external id"), "{error}");
    assert!(!error.to_string().contains("guessed"), "{error}");
}

#[tokio::test]
async fn credentials_of_another_account_never_reach_a_service() {
    let fixture = Fixture::new().await;
    let prod = fixture.lab.prod();
    let confused = fixture.add("confused", prod, by_role(fixture.lab.dev(), "hub"));
    let result = fixture
        .cloud
        .functions(&confused, REGION, &allowed("confused-*"))
        .await;
    let error = result.err().expect("refused");
    assert_eq!(error.kind, CallErrorKind::WrongAccount, "{error}");
    for id in [&prod.id, &fixture.lab.dev().id] {
        assert!(error.message.contains(id), "{error}");
    }
    let error = fixture.cloud.store(&confused, REGION).await.err();
    assert_eq!(
        error.map(|error| error.kind),
        Some(CallErrorKind::WrongAccount)
    );
    // The identity can still be read.
    let identity = fixture
        .cloud
        .identity(&confused)
        .await
        .expect("an identity");
    assert_eq!(identity.account_id, fixture.lab.dev().id);
}

#[tokio::test]
async fn missing_secret_is_not_reported_as_missing_function() {
    let fixture = Fixture::new().await;
    fixture.vault.remove(HUB_KEY);
    let result = fixture
        .cloud
        .functions(&fixture.account("dev"), REGION, &allowed("*"))
        .await;
    let error = result.err().expect("no credentials");
    assert_eq!(error.kind, CallErrorKind::Unauthenticated, "{error}");
    assert!(error.resource.contains("sluice-system/hub-key"), "{error}");
    assert!(error.message.contains("create it"), "{error}");
}

#[tokio::test]
async fn corrected_secret_is_read_at_the_next_call() {
    let fixture = Fixture::new().await;
    let key = fixture.lab.hub_access_key();
    fixture.vault.put_key(HUB_KEY, &key.id, "wrong");
    let dev = fixture.account("dev");
    let error = fixture.cloud.identity(&dev).await.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Unauthenticated, "{error}");
    fixture.vault.put_key(HUB_KEY, &key.id, &key.secret);
    fixture.cloud.identity(&dev).await.expect("an identity");
}

#[tokio::test]
async fn session_is_limited_to_its_grants() {
    let fixture = Fixture::new().await;
    let ours = fixture.functions("shop-").await;
    fixture.function(&*ours, "shop-fenced").await;
    let theirs = fixture.functions("pay-").await;
    let error = theirs.get("shop-fenced", None).await.expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
    assert!(error.message.contains("lambda:GetFunction"), "{error}");
    let error = theirs
        .delete("shop-fenced", None)
        .await
        .expect_err("refused");
    assert_eq!(error.kind, CallErrorKind::Denied, "{error}");
    // Both share the same clients: concurrent calls still use the credentials of their own session.
    let asked = (0..40).map(|nth| {
        let (who, is_ours) = if nth % 2 == 0 {
            (&ours, true)
        } else {
            (&theirs, false)
        };
        async move { (is_ours, who.get("shop-fenced", None).await) }
    });
    for (is_ours, answer) in join_all(asked).await {
        match answer {
            Ok(found) => assert!(is_ours && found.is_some()),
            Err(error) => assert!(!is_ours && error.kind == CallErrorKind::Denied, "{error}"),
        }
    }
}

#[tokio::test]
async fn unlisted_region_is_refused() {
    let fixture = Fixture::new().await;
    let result = fixture
        .cloud
        .functions(&fixture.account("dev"), "eu-south-2", &allowed("*"))
        .await;
    let error = result.err().expect("refused");
    assert_eq!(error.kind, CallErrorKind::Invalid, "{error}");
    assert!(error.message.contains("spec.regions"), "{error}");
}
