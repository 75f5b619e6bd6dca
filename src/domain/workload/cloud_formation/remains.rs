//! What is left of a stack whose creation was rolled back.
//!
//! CloudFormation makes no change set for such a stack: it has to be deleted, and created anew. A resource that the
//! rollback has retained would then be in no stack, so a person decides about it first.

use super::stack::StackResource;

/// How many resources a message lists.
const LISTED: usize = 5;

/// Why Sluice does not delete the stack with this name; `None` if none of its resources exists.
pub fn obstacle(name: &str, resources: &[StackResource]) -> Option<String> {
    let left: Vec<&StackResource> = resources.iter().filter(|it| it.exists()).collect();
    if left.is_empty() {
        return None;
    }
    let shown = left.iter().take(LISTED).map(|it| {
        let id = it.physical_id.as_deref().unwrap_or_default();
        format!("{} ({}, {id})", it.logical_id, it.resource_type)
    });
    let mut list = shown.collect::<Vec<_>>().join(", ");
    if left.len() > LISTED {
        list = format!("{list} and {} more", left.len() - LISTED);
    }
    Some(format!(
        "it is ROLLBACK_COMPLETE: its creation failed and was rolled back, but resources of it still exist: {list}. \
         Delete the stack with aws cloudformation delete-stack --stack-name {name}, and then the resources that it \
         leaves; importExistingResources makes those with names of their own part of the new stack instead"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(number: usize, physical_id: Option<&str>, status: &str) -> StackResource {
        StackResource {
            logical_id: format!("Bucket{number}"),
            physical_id: physical_id.map(Into::into),
            resource_type: "AWS::S3::Bucket".into(),
            status: status.into(),
        }
    }

    #[test]
    fn deleted_and_never_created_resources_are_no_obstacle() {
        let gone = [
            resource(1, Some("shop-1"), "DELETE_COMPLETE"),
            resource(2, None, "CREATE_FAILED"),
        ];
        assert_eq!(obstacle("shop", &gone), None);
        assert_eq!(obstacle("shop", &[]), None);
    }

    #[test]
    fn message_lists_five_resources_and_counts_the_others() {
        let left = |count| -> String {
            let all: Vec<_> = (0..count)
                .map(|number| resource(number, Some("shop-x"), "DELETE_SKIPPED"))
                .collect();
            obstacle("shop", &all).expect("an obstacle")
        };
        let text = left(1);
        assert!(
            text.contains("still exist: Bucket0 (AWS::S3::Bucket, shop-x). Delete"),
            "{text}"
        );
        assert!(text.contains("delete-stack --stack-name shop,"), "{text}");
        assert!(!left(5).contains("more"), "{}", left(5));
        let text = left(7);
        assert!(text.contains("Bucket4 (AWS::S3::Bucket, shop-x) and 2 more. "));
        assert!(!text.contains("Bucket5"), "{text}");
    }
}
