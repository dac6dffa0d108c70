//! The admission policy: its expressions are evaluated, and what they make of a pod is looked at.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{read, root, yaml};

/// What admission makes of a pod.
fn admitted(pod: &Value) -> Value {
    let objects = yaml::documents(&read("deploy/kubernetes/inject/policy.yaml"));
    let [policy, binding] = &objects[..] else {
        panic!("{objects:#?}");
    };
    assert_eq!(policy["kind"], "MutatingAdmissionPolicy");
    assert_eq!(binding["kind"], "MutatingAdmissionPolicyBinding");
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    let mut node = Command::new("node")
        .arg(root().join("tests/oidc/admission.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node");
    let input = json!({ "policy": policy, "pod": pod }).to_string();
    let mut stdin = node.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{policy:#}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A pod that asks for the sidecar and has this besides.
fn pod(spec: &Value) -> Value {
    json!({ "metadata": { "labels": { "bearward.dev/inject": "crm-bearward" } }, "spec": spec })
}

/// The template that `deploy/kubernetes/sidecar` lays over a workload's.
fn template() -> Value {
    let patch = yaml::documents(&read("deploy/kubernetes/sidecar/pod.yaml")).remove(0);
    let mut template = patch["spec"]["template"].clone();
    // The server's default, which the policy writes out.
    template["spec"]["initContainers"][0]["ports"][0]["protocol"] = json!("TCP");
    template
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().unwrap().iter();
    items.map(|it| it["name"].as_str().unwrap()).collect()
}

#[test]
fn an_injected_pod_has_the_same_sidecar_and_only_one() {
    let plain = pod(&json!({ "containers": [{ "name": "crm" }] }));
    let injected = admitted(&plain);
    let template = template();
    assert_eq!(
        injected["spec"]["initContainers"],
        template["spec"]["initContainers"]
    );
    assert_eq!(injected["spec"]["volumes"], template["spec"]["volumes"]);
    assert_eq!(injected["spec"]["containers"], plain["spec"]["containers"]);
    let label = "bearward.dev/sidecar";
    assert_eq!(
        injected["metadata"]["labels"][label],
        template["metadata"]["labels"][label]
    );
    // The server asks again when another plugin has changed the pod.
    assert_eq!(admitted(&injected), injected);
}

#[test]
fn what_a_pod_has_already_stays() {
    let injected = admitted(&pod(&json!({
        "containers": [{ "name": "crm" }],
        "initContainers": [{ "name": "migrate" }],
        "volumes": [{ "name": "data", "emptyDir": {} }],
    })));
    let spec = &injected["spec"];
    assert_eq!(names(&spec["initContainers"]), ["bearward", "migrate"]);
    let volumes = names(&spec["volumes"]);
    assert_eq!(volumes, ["data", "bearward-config", "bearward-secrets"]);

    let classic = pod(&json!({ "containers": [{ "name": "bearward" }, { "name": "crm" }] }));
    assert_eq!(admitted(&classic), classic);
}
