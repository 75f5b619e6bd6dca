//! Tests of grants.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

use super::*;

#[test]
fn patterns_match_whole_names() {
    for (pattern, text, expected) in [
        ("checkout-*", "checkout-api", true),
        ("checkout-*", "checkout-", true),
        ("checkout-*", "my-checkout-api", false),
        ("*", "", true),
        ("*-api", "checkout-api", true),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "axxcyyb", false),
        ("app", "app", true),
        ("app", "apps", false),
        ("team/*", "team/checkout/api", true),
        ("ab*ba", "aba", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
}

#[test]
fn a_function_needs_its_role_in_the_same_grant() {
    let grant = |function: &str, role: &str| Allowed {
        functions: vec![function.into()],
        roles: vec![role.into()],
        ..Allowed::default()
    };
    let permissions = Permissions {
        grants: vec![grant("a-*", "role-a"), grant("b-*", "role-b")],
        ..Permissions::default()
    };
    let role = |name: &str| format!("arn:aws:iam::222222222222:role/{name}");
    let refusal = |permissions: &Permissions, name: &str| {
        permissions.refusal(Resource::FunctionWithRole("a-api", &role(name)))
    };
    assert_eq!(refusal(&permissions, "role-a"), None);
    assert!(refusal(&permissions, "role-b").is_some());
    assert!(refusal(&Permissions::default(), "role-a").is_some());
    assert_eq!(permissions.refusal(Resource::Function("b-api")), None);
    assert!(permissions.refusal(Resource::Function("c-api")).is_some());
}

#[test]
fn adoption_needs_may_adopt_in_a_grant_that_names_the_function() {
    let grant = |function: &str, may_adopt| Allowed {
        functions: vec![function.into()],
        may_adopt,
        ..Allowed::default()
    };
    let permissions = Permissions {
        grants: vec![grant("a-*", false), grant("b-*", true)],
        ..Permissions::default()
    };
    assert!(permissions.can_adopt_function("b-api"));
    assert!(!permissions.can_adopt_function("a-api"));
    assert!(!permissions.can_adopt_function("c-api"));
}

#[test]
fn a_stack_needs_its_role_in_the_same_grant() {
    let grant = |stack: &str, role: &str| Allowed {
        stacks: vec![stack.into()],
        stack_roles: vec![role.into()],
        ..Allowed::default()
    };
    let permissions = Permissions {
        account: "dev".into(),
        grants: vec![grant("a-*", "cfn/a"), grant("b-*", "cfn/b")],
        ..Permissions::default()
    };
    let role = |name: &str| format!("arn:aws:iam::222222222222:role/{name}");
    let arn = |name: &str| {
        format!("arn:aws:cloudformation:eu-west-1:222222222222:stack/{name}/11111111-b-2")
    };
    let refusal =
        |stack: &str, name: &str| permissions.refusal(Resource::StackWithRole(stack, &role(name)));
    assert_eq!(refusal("a-shop", "cfn/a"), None);
    assert_eq!(refusal(&arn("a-shop"), "cfn/a"), None);
    assert!(refusal("a-shop", "cfn/b").is_some());
    let none = refusal(&arn("c-shop"), "cfn/a").unwrap();
    assert!(none.contains("stack c-shop with role cfn/a"), "{none}");
    assert_eq!(permissions.refusal(Resource::Stack("b-shop")), None);
    assert_eq!(permissions.refusal(Resource::Stack(&arn("b-shop"))), None);
    assert!(
        permissions
            .refusal(Resource::Stack(&arn("c-b-2")))
            .is_some()
    );
    assert!(permissions.refusal(Resource::Function("a-shop")).is_some());
}

#[test]
fn a_parameter_is_allowed_by_any_grant() {
    let grant = |pattern: &str| Allowed {
        parameters: vec![pattern.into()],
        ..Allowed::default()
    };
    let permissions = Permissions {
        grants: vec![grant("/shop/*"), grant("stage")],
        ..Permissions::default()
    };
    for (name, expected) in [
        ("/shop/db/url", true),
        ("/shop/db/url:3", true),
        ("stage", true),
        ("stage:live", true),
        ("/aws/service/ami-amazon-linux-latest/al2023", true),
        ("/pay/db/url", false),
        ("/stage", false),
        (
            "arn:aws:ssm:eu-west-1:333333333333:parameter/shop/db",
            false,
        ),
    ] {
        let refusal = permissions.refusal(Resource::Parameter(name));
        assert_eq!(refusal.is_none(), expected, "{name}");
    }
}

#[test]
fn a_bucket_is_allowed_by_any_grant() {
    let buckets = |pattern: &str| Allowed {
        buckets: vec![pattern.into()],
        ..Allowed::default()
    };
    let permissions = Permissions {
        account: "dev".into(),
        grants: vec![buckets("shop-site-*"), buckets("docs"), buckets("*-old")],
        ..Permissions::default()
    };
    let refusal = |bucket| permissions.refusal(Resource::Bucket(bucket));
    assert_eq!(refusal("shop-site-111111111111"), None);
    assert_eq!(refusal("docs"), None);
    let none = refusal("docs-new").unwrap();
    assert!(none.contains("Account dev has no grant"), "{none}");
    let other = Permissions::default().refusal(Resource::Bucket("docs"));
    assert!(other.is_some());
    let unsafe_pattern = refusal("docs-old").unwrap();
    assert!(unsafe_pattern.contains("\"*-old\""), "{unsafe_pattern}");
}

#[test]
fn bucket_pattern_allows_a_star_only_at_its_end() {
    for pattern in ["docs", "docs-*", "*", "docs-**"] {
        assert!(is_bucket_pattern(pattern), "{pattern}");
    }
    for pattern in ["*-docs", "docs-*-eu", "*-*"] {
        assert!(!is_bucket_pattern(pattern), "{pattern}");
    }
}

#[test]
fn session_name_has_namespace_and_deployment() {
    let name = |namespace: &str, deployment: &str| {
        let holder = Holder {
            namespace: namespace.into(),
            deployment: deployment.into(),
            target: String::new(),
        };
        holder.session_name()
    };
    assert_eq!(name("shop", "checkout"), "sluice.shop.checkout");
    let (one, other) = (
        name(&"n".repeat(63), &"d".repeat(63)),
        name(&"n".repeat(63), &"e".repeat(63)),
    );
    assert_ne!(one, other);
    for long in [one, other, name("shop", &"d".repeat(253))] {
        assert_eq!(long.len(), 64, "{long}");
        assert!(long.contains('='), "{long}");
    }
    assert_eq!(name("shop", &"d".repeat(52)).len(), 64);
    assert!(!name("shop", &"d".repeat(52)).contains('='));
}

#[test]
fn selectors_follow_kubernetes() {
    let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    let rule = |operator: &str, values: &[&str]| LabelSelector {
        match_labels: None,
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: "team".into(),
            operator: operator.into(),
            values: Some(values.iter().map(ToString::to_string).collect()),
        }]),
    };
    assert!(selects(&LabelSelector::default(), &labels));
    assert!(selects(&rule("In", &["shop", "pay"]), &labels));
    assert!(!selects(&rule("NotIn", &["shop"]), &labels));
    assert!(selects(&rule("NotIn", &["shop"]), &BTreeMap::new()));
    assert!(selects(&rule("Exists", &[]), &labels));
    assert!(!selects(&rule("DoesNotExist", &[]), &labels));
    assert!(!selects(&rule("Resembles", &["shop"]), &labels));
}
