//! A function's subnets and security groups must exist.
//!
//! (The wording of the errors as client libraries' issues quote it, such as
//! <https://github.com/aws/aws-lambda-dotnet/pull/60>.)

use serde_json::Value;

use super::{Exchange, Step, invalid};
use crate::{aws::keys::element, error::LabError};

const VERSION: (&str, &str) = ("Version", "2016-11-15");

/// Refuses a subnet or security group that EC2 does not have.
pub(super) async fn refuse_missing(exchange: &mut Exchange) -> Result<Step, LabError> {
    let request = exchange.json();
    let network = &request["VpcConfig"];
    let (subnets, groups) = (ids(network, "SubnetIds"), ids(network, "SecurityGroupIds"));
    if subnets.is_empty() != groups.is_empty() {
        return Ok(invalid(
            "SubnetIds and SecurityIds must coexist or be both empty list.",
        ));
    }
    let asked = subnets
        .iter()
        .map(|id| ("DescribeSubnets", "SubnetId.1", id))
        .chain(
            groups
                .iter()
                .map(|id| ("DescribeSecurityGroups", "GroupId.1", id)),
        );
    for (operation, parameter, id) in asked {
        let form = [("Action", operation), VERSION, (parameter, id.as_str())];
        let function = &exchange.function;
        let reply = exchange
            .backend
            .ask_form_in(&function.account, &function.region, "ec2", &form)
            .await?;
        if reply.status.is_success() {
            continue;
        }
        let xml = String::from_utf8_lossy(&reply.body);
        let (code, message) = (element(&xml, "Code"), element(&xml, "Message"));
        return Ok(invalid(&format!(
            "Error occurred while {operation}. EC2 Error Code: {}. EC2 Error Message: {}",
            code.unwrap_or_default(),
            message.unwrap_or_default()
        )));
    }
    Ok(Step::Pass)
}

fn ids(network: &Value, field: &str) -> Vec<String> {
    let ids = network[field].as_array().into_iter().flatten();
    ids.filter_map(Value::as_str).map(str::to_owned).collect()
}
