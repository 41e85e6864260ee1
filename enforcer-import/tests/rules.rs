//! What is written, and what is said about what isn't.

use enforcer_import::inventory::Inventory;
use enforcer_import::rules::{Imported, network_policies, security_groups};
use enforcer_policy::check::parse;
use enforcer_policy::source::Source;
use jiff::Timestamp;

fn policies(text: &str) -> Imported {
    let imported = network_policies(&[Source::new("p.yaml", text)], None).unwrap();
    valid(&imported);
    imported
}

fn valid(imported: &Imported) -> String {
    let text = imported.to_yaml("Imported.");
    let checked = parse(&[Source::new("out.yaml", text.clone())], Timestamp::UNIX_EPOCH);
    assert!(checked.diagnostics.is_empty(), "{}\n{text}", checked.diagnostics[0]);
    text
}

/// `line:column: message` of everything that isn't carried over.
fn losses(imported: &Imported) -> Vec<String> {
    let place = |loss: &enforcer_policy::diagnostic::Diagnostic| {
        format!("{}:{}: {}", loss.primary.span.line, loss.primary.span.column, loss.message)
    };
    imported.losses.iter().map(place).collect()
}

const HEAD: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n";

#[test]
fn an_ordinary_policy_reads_like_one() {
    let text = format!(
        "{HEAD}metadata: {{name: db, namespace: shop}}\nspec:\n  podSelector: {{matchLabels: {{app: db}}}}\n  ingress:\n  \
         - from:\n    - podSelector: {{matchLabels: {{app: web}}}}\n    ports:\n    - port: 5432\n"
    );
    let imported = policies(&text);
    assert_eq!(losses(&imported), Vec::<String>::new());
    let expected = "---
# From p.yaml:1, NetworkPolicy shop/db.
apiVersion: enforcer.dev/v1alpha1
kind: FlowPolicy
metadata: {name: networkpolicy.shop.db}
spec:
  flows:
    - from: [{labels: {app: web, k8s.namespace: shop}}]
      to: [{labels: {app: db, k8s.namespace: shop}}]
      ports: [tcp/5432]
      why: \"NetworkPolicy shop/db ingress[0]\"
---
# pods that no policy isolates.
";
    let written = valid(&imported);
    assert!(written.contains(expected), "{written}");
    assert!(!written.contains("guardrail"), "{written}");
}

#[test]
fn what_cannot_be_said_is_listed_with_its_place() {
    let text = format!(
        "{HEAD}metadata: {{name: a}}\nspec:\n  podSelector: {{}}\n  ingress:\n  - ports:\n    - port: http\n    - port: 80\n      \
         future: 1\n---\nkind: Service\n---\napiVersion: crd.projectcalico.org/v1\nkind: NetworkPolicy\nmetadata: {{name: b}}\n\
         ---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: c}}\nspec:\n  \
         tier: Admin\n  priority: 1\n  subject: {{namespaces: {{}}}}\n  egress:\n  - action: Accept\n    to:\n    \
         - domainNames: [example.com]\n    - nodes: {{}}\n"
    );
    let imported = policies(&text);
    assert_eq!(
        losses(&imported),
        [
            "8:13: the port `http` has a name: which number it stands for isn't known",
            "10:7: a port has the unknown field `future`",
            "12:1: an object of the kind `Service` is no policy that is known here",
            "14:1: an object of the kind `NetworkPolicy` of `crd.projectcalico.org` is no policy that is known here",
            "28:20: names of domains can't be carried over",
            "29:14: which addresses these nodes have isn't known",
        ]
    );
    let written = valid(&imported);
    assert!(
        written.starts_with("# Imported.\n# NOT carried over:\n#   p.yaml:8:13: the port `http`"),
        "{written}"
    );
}

#[test]
fn a_denial_that_cannot_be_read_whole_denies_all() {
    let text = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: c}\nspec:\n  \
                priority: 1\n  subject: {namespaces: {}}\n  egress:\n  - action: Deny\n    to:\n    - future: {}\n";
    let imported = policies(text);
    assert_eq!(losses(&imported), ["10:7: a peer has the unknown field `future`"]);
    let written = valid(&imported);
    assert!(written.contains("tier: guardrail") && written.contains("action: deny"), "{written}");
    assert!(!written.contains("egress allowed"), "{written}");
}

#[test]
fn an_unaltered_denial_is_a_guardrail() {
    let text = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: no-ssh}\nspec:\n  \
                tier: Admin\n  priority: 1\n  subject: {namespaces: {matchLabels: {env: prod}}}\n  ingress:\n  \
                - name: nobody\n    action: Deny\n    from: [{namespaces: {}}]\n    protocols: [{tcp: {destinationPort: {number: 22}}}]\n";
    let written = valid(&policies(text));
    assert!(written.contains("metadata: {name: clusternetworkpolicy.no-ssh.deny}"), "{written}");
    assert!(written.contains("why: \"ClusterNetworkPolicy no-ssh ingress[0] nobody\""), "{written}");
}

#[test]
fn malformed_input_is_an_error_with_its_place() {
    for (spec, told) in [
        ("{podSelector: {matchExpressions: [{key: a, operator: In}]}}", "`In` needs `values`"),
        ("{podSelector: {matchExpressions: [{key: a, operator: Gt, values: [x]}]}}", "`Gt` is no operator"),
        ("{podSelector: {matchLabels: {k8s.namespace: x}}}", "can't be told from what the inventory gives"),
        ("{podSelector: {}, ingress: [{from: [{}]}]}", "a peer has either"),
        ("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}", "and not `10.0.0.0/33`"),
        (
            "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]}",
            "doesn't lie inside",
        ),
        ("{podSelector: {}, ingress: [{ports: [{port: 90, endPort: 80}]}]}", "lies before `port` 90"),
        ("{podSelector: {}, ingress: [{ports: [{port: 0}]}]}", "a port from 1 to 65535"),
        ("{podSelector: {}, ingress: [{ports: [{protocol: ICMP}]}]}", "none of `TCP`, `UDP` and `SCTP`"),
        ("{podSelector: {}, policyTypes: [Both]}", "neither `Ingress` nor `Egress`"),
        (
            "{podSelector: {matchLabels: {a: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}}}",
            "is no label: its value has more than 63 bytes",
        ),
        ("{podSelector: {matchExpressions: [{key: \"a b\", operator: Exists}]}}", "may not stand in it"),
        ("[]", "a mapping"),
    ] {
        let text = format!("{HEAD}metadata: {{name: a}}\nspec: {spec}\n");
        let errors = network_policies(&[Source::new("p.yaml", text)], None).unwrap_err();
        assert!(errors[0].message.contains(told), "{spec}: {}", errors[0].message);
        assert_eq!(errors[0].primary.span.line, 4, "{spec}");
    }
    for text in ["", "kind: List\nitems: 3\n", "hello", "{\"kind\":", "kind: Pod\n"] {
        assert!(network_policies(&[Source::new("p.yaml", text)], None).is_err(), "{text}");
        assert!(security_groups(&[Source::new("p.yaml", text)], None).is_err(), "{text}");
    }
}

#[test]
fn names_of_others_write_no_documents() {
    let evil = "x\\n---\\nkind: FlowPolicy\\u001b[2J";
    let text = format!(
        "{{\"kind\": \"NetworkPolicy\", \"metadata\": {{\"name\": \"{evil}\", \"annotations\": {{\"a/description\": \"{evil}\"}}}},
          \"spec\": {{\"podSelector\": {{}}, \"ingress\": [{{}}]}}}}"
    );
    let written = valid(&policies(&text));
    assert!(!written.contains('\u{1b}') && !written.contains("\nkind: FlowPolicy\\"), "{written}");
    let groups = format!(
        "{{\"SecurityGroups\": [{{\"GroupId\": \"sg-1\", \"GroupName\": \"{evil}\", \"Description\": \"{evil}\", \"IpPermissions\":
          [{{\"IpProtocol\": \"tcp\", \"FromPort\": 1, \"ToPort\": 2, \"IpRanges\": [{{\"CidrIp\": \"10.0.0.0/8\"}}]}}]}}]}}"
    );
    let imported = security_groups(&[Source::new("g\u{1b}.json", groups)], None).unwrap();
    assert!(!valid(&imported).contains('\u{1b}'));
}

#[test]
fn groups_and_lists_that_nobody_described_are_listed() {
    let text = "{\"SecurityGroups\": [{\"GroupId\": \"sg-1\", \"GroupName\": \"web\", \"IpPermissions\": [{\"IpProtocol\": \"-1\",\n\
                \"UserIdGroupPairs\": [{\"GroupId\": \"sg-9\"}],\n\"PrefixListIds\": [{\"PrefixListId\": \"pl-1\"}]}]}]}";
    let source = [Source::new("g.json", text)];
    let imported = security_groups(&source, None).unwrap();
    assert_eq!(
        losses(&imported),
        [
            "2:34: the group `sg-9` isn't described here",
            "3:36: the entries of the prefix list `pl-1` aren't known"
        ]
    );
    let instance = "{\"Reservations\": [{\"Instances\": [{\"InstanceId\": \"i-9\", \"PrivateIpAddress\": \"10.0.0.9\", \
                    \"SecurityGroups\": [{\"GroupId\": \"sg-9\"}]}]}]}";
    let inventory = Inventory::read(&[Source::new("i.json", instance)]).unwrap();
    let imported = security_groups(&source, Some(&inventory)).unwrap();
    assert!(
        imported.notes.iter().any(|note| note.starts_with("`i-9` is in the group `sg-9`")),
        "{:?}",
        imported.notes
    );
}

#[test]
fn blocks_without_an_inventory_are_taken_to_hold_no_pods() {
    let denial = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: c}\nspec:\n  \
                  priority: 1\n  subject: {namespaces: {}}\n  egress:\n  - {action: Deny, to: [{networks: [169.254.169.254/32]}]}\n";
    let imported = policies(denial);
    let written = valid(&imported);
    let open = "from: [{expressions: [{key: k8s.namespace, exists: true}]}]\n      to: [{expressions: [{key: k8s.namespace, exists: true}]}]\n      ports: [any]\n      why: \"pods that no policy";
    assert!(written.contains(open), "pods go on reaching each other: {written}");
    assert!(written.contains("to: [{cidr: [169.254.169.254/32]}]"), "{written}");
    let block = format!(
        "{HEAD}metadata: {{name: a}}\nspec:\n  podSelector: {{}}\n  ingress: [{{from: [{{ipBlock: {{cidr: 10.0.0.0/8}}}}]}}]\n"
    );
    assert_eq!(
        losses(&policies(&block)),
        ["3:11: which pods the address blocks of this hold isn't known; they are taken to hold none"]
    );
    let all = block.replace("10.0.0.0/8", "0.0.0.0/0");
    assert_eq!(losses(&policies(&all)), Vec::<String>::new());
}
