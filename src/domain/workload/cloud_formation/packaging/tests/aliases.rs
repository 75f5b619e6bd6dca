//! Anchors, aliases and merges.

use super::{CODE, URI, URI_1, assert_packaged, packaged, parsed, read, refusal, resources, shown};

#[test]
fn an_alias_is_replaced_itself() {
    assert_packaged(
        "Code: &code ./src\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      \
         CodeUri: «*code» # it\n  G: {Type: AWS::Lambda::Function, Properties: {Code: «*code» }}\nOutputs: *code\n",
        &[URI, &CODE.replace("/0", "/1")],
    );
    let text = "Code: &code !Sub ./src\nResources: {F: {Type: AWS::Lambda::Function, Properties: {Code: *code }}}\n";
    assert_eq!(read(text).paths(), []);
}

#[test]
fn aliases_of_a_replaced_value_keep_what_they_meant() {
    assert_packaged(
        "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: &code «./src»\n      \
         Handler: «*code»\n  G: {Type: AWS::Lambda::Function, Properties: {Code: «*code» }}\n\
         Outputs: [«*code», a]\n",
        &[URI, r#""./src""#, &CODE.replace("/0", "/1"), r#""./src""#],
    );
}

#[test]
fn an_anchored_mapping_that_resources_share_is_edited_where_it_is() {
    let shared = "Shared: &shared {CodeUri: «./src», Handler: a}\nResources:\n  ";
    let types = ["Type: AWS::Serverless::Function", "Type: X::Y::Z"];
    for uses in [
        "F: {TYPE, Properties: *shared }\n  G: {TYPE, Properties: *shared }\n",
        "F: {TYPE, Properties: {<<: *shared }}\n  G: {TYPE, Properties: {<<: [*shared ], Handler: b}}\n",
        "F: {TYPE, Properties: {<<: [{A: b}, *shared ]}}\n",
        "F: &f {TYPE, Properties: *shared }\n  G: *f\n  H: {<<: *f }\n",
        "Fn::ForEach::A: [B, [c], {F: {TYPE, Properties: {<<: *shared }}}]\n",
    ] {
        let text = format!("{shared}{uses}").replace("TYPE", types[0]);
        assert_packaged(&text, &[URI]);
        let text = format!("{shared}{uses}").replace("TYPE", types[1]);
        assert_eq!(read(&text.replace(['«', '»'], "")).paths(), []);
    }
}

#[test]
fn own_values_win_over_merged_ones() {
    assert_packaged(
        "Shared: &shared {CodeUri: ./src}\nResources:\n  F: {Type: AWS::Serverless::Function, \
         Properties: {<<: *shared , CodeUri: «./own»}}\n",
        &[URI],
    );
    assert_packaged(
        "A: &a {CodeUri: «./a»}\nB: &b {CodeUri: ./b}\nResources:\n  F: {Type: AWS::Serverless::Function, \
         Properties: {<<: [*a , *b ]}}\n",
        &[URI],
    );
    let quoted = "A: &a {CodeUri: ./a}\nResources: {F: {Type: AWS::Serverless::Function, Properties: {'<<': *a }}}\n";
    assert_eq!(read(quoted).paths(), []);
}

#[test]
fn merged_resources_types_and_parts_are_found() {
    assert_packaged(
        "Base: &base {Type: AWS::Glue::Job, Properties: {Command: &command {ScriptLocation: «./job.py»}}}\n\
         More: &more {L: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: «./layer»}}}\n\
         Resources:\n  <<: *more\n  J: *base\n  K: {<<: *base , Properties: {Command: {<<: *command }}}\n",
        &[URI, URI_1],
    );
}

#[test]
fn a_shared_value_that_is_needed_in_two_forms_is_refused() {
    let error = refusal(&resources(
        "  F:\n    Type: AWS::Serverless::Api\n    Properties: &p\n      DefinitionUri: ./a\n  \
         G:\n    Type: AWS::Serverless::StateMachine\n    Properties: *p\n",
    ));
    assert_eq!(
        error,
        "Resources.F.Properties.DefinitionUri and Resources.G.Properties.DefinitionUri share the path in line 5, \
         but need different forms of it: write it at each of them"
    );
    read(&resources(
        "  F: {Type: AWS::Serverless::Api, Properties: &p {DefinitionUri: s3://a/b}}\n  \
         G: {Type: AWS::Serverless::StateMachine, Properties: *p }\n",
    ));
}

#[test]
fn an_alias_of_an_include_is_edited_where_it_is() {
    let text = "A: &a {Name: AWS::Include, Parameters: {Location: «./a»}}\n\
                B: {Fn::Transform: *a }\nC: {Fn::Transform: *a }\n";
    assert_packaged(text, &[URI]);
    assert_eq!(
        shown(&read(&text.replace(['«', '»'], ""))),
        "B.Fn::Transform.Parameters.Location:1 ./a\n"
    );
}

#[test]
fn bombs_and_cycles_have_no_paths_or_few() {
    let function = "{Type: AWS::Serverless::Function, Properties: {CodeUri: ./a}}";
    let merge = |index: usize| {
        format!(
            "A{index}: &a{index} {{<<: [{}]}}\n",
            "*b ,".repeat(9).replace('b', &format!("a{}", index - 1))
        )
    };
    let merges: String = (1..12).map(merge).collect();
    let each = |index: usize| {
        let below = index - 1;
        let each = |name: i32| format!("Fn::ForEach::E{name}: [A, [b], *f{below} ],");
        let each: Vec<String> = (0..9).map(each).collect();
        let each = each.concat();
        format!("F{index}: &f{index} {{{each}}}\n")
    };
    let eaches: String = (1..12).map(each).collect();
    let lists = |index: usize| {
        format!(
            "L{index}: &l{index} [{}]\n",
            "*b ,".repeat(9).replace('b', &format!("l{}", index - 1))
        )
    };
    let lists: String = (1..12).map(lists).collect();
    let bombs = [
        format!(
            "A0: &a0 {{X: y}}\n{merges}Resources: {{F: {function}, G: *a11 , H: {{<<: *a11 }}}}\n"
        ),
        format!("F0: &f0 {{F: {function}}}\n{eaches}Resources: *f11\n"),
        format!("A0: &a0 {{X: y}}\n{merges}Resources: *a11\n"),
        format!("Resources: {{F: &f {{<<: [*f , *f ]}}, G: {function}}}\n"),
    ];
    for text in bombs {
        let packaging = read(&text);
        assert_eq!(packaging.paths(), [], "{text}");
        assert_eq!(packaged(&packaging), text);
    }
    // Nothing looks into these.
    let text = format!("L0: &l0 [a]\n{lists}Resources: {{F: {function}}}\n");
    assert_eq!(read(&text).paths().len(), 1);
    for (text, count) in [
        ("Resources: &r {<<: *r , F: FUNCTION}", 1),
        (
            "Resources: &r {F: FUNCTION, Fn::ForEach::A: [b, c, *r ]}",
            1,
        ),
        ("Resources: {F: &f {<<: *f }, G: FUNCTION}", 1),
        (
            "Resources: {F: {Type: AWS::Serverless::GraphQLApi, Properties: {Functions: &f {A: *f , CodeUri: ./a}}}}",
            1,
        ),
        ("A: &a {Fn::Transform: *a }\nResources: {F: FUNCTION}", 1),
        ("&a {Resources: *a }", 0),
    ] {
        let packaging = read(&text.replace("FUNCTION", function));
        assert_eq!(packaging.paths().len(), count, "{text}");
    }
}

#[test]
fn what_is_packaged_still_parses_to_the_same() {
    let text = "Shared: &shared\n  CodeUri: &code ./src\n  Handler: *code\nResources:\n  F:\n    \
                Type: AWS::Serverless::Function\n    Properties:\n      <<: *shared\n      Runtime: r\n";
    let after = parsed(&packaged(&read(text)));
    let properties = &after["Resources"]["F"]["Properties"];
    assert_eq!(properties["CodeUri"], "s3://artifacts/packaged/0");
    assert_eq!(properties["Handler"], "./src");
    assert_eq!(properties["Runtime"], "r");
}
