//! The manifests: built by kubectl, held against the schemas of two versions, and then against
//! what schemas do not know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use bearward::config::{Config, Store};
use serde_json::Value;
use tempfile::TempDir;

use super::{brought, read, root, succeed, yaml};
use crate::support::{Exit, bearward, write_private};

/// Every overlay, and how the sidecar stands in it.
const OVERLAYS: [(&str, Form); 6] = [
    ("kubernetes", Form::Native),
    ("file", Form::Native),
    ("redis", Form::Native),
    ("job", Form::Native),
    ("cronjob", Form::Native),
    ("classic", Form::Classic),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The first of the `initContainers`, restarted always.
    Native,
    /// The first of the `containers`.
    Classic,
}

/// What applying one overlay would make.
struct Built {
    name: &'static str,
    form: Form,
    /// What the service is called.
    service: &'static str,
    text: String,
    objects: Vec<Value>,
}

impl Built {
    /// Each overlay of the manifests in `folder`.
    fn each(folder: &Path, service: &'static str) -> Vec<Self> {
        let build = |(name, form)| {
            let text = kustomize(&folder.join("overlays").join(name));
            let objects = yaml::documents(&text);
            Self {
                name,
                form,
                service,
                text,
                objects,
            }
        };
        OVERLAYS.into_iter().map(build).collect()
    }

    /// Each overlay as it is, built once for all tests.
    fn all() -> impl Iterator<Item = &'static Self> {
        static BUILT: LazyLock<Vec<Built>> = LazyLock::new(|| Built::each(&manifests(), "crm"));
        BUILT.iter()
    }

    fn named(name: &str) -> &'static Self {
        Self::all().find(|built| built.name == name).expect(name)
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects
            .iter()
            .filter(move |object| object["kind"] == kind)
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.of_kind(kind)
            .any(|object| object["metadata"]["name"] == name)
    }

    /// The workload, and the template of its pods.
    fn workload(&self) -> (&Value, &Value) {
        let kinds = ["Deployment", "StatefulSet", "Job", "CronJob"];
        let mut found = kinds.iter().flat_map(|kind| self.of_kind(kind));
        let workload = found.next().expect(self.name);
        let spec = match workload.pointer("/spec/jobTemplate/spec") {
            Some(spec) => spec,
            None => &workload["spec"],
        };
        (workload, &spec["template"])
    }

    fn pod(&self) -> &Value {
        &self.workload().1["spec"]
    }

    fn sidecar(&self) -> &Value {
        let list = match self.form {
            Form::Native => "initContainers",
            Form::Classic => "containers",
        };
        &self.pod()[list][0]
    }

    /// Bearward's configuration, as the pod will find it.
    fn configuration(&self) -> &str {
        let mut maps = self.of_kind("ConfigMap");
        maps.next().unwrap()["data"]["config.toml"]
            .as_str()
            .unwrap()
    }
}

fn manifests() -> PathBuf {
    root().join("deploy/kubernetes")
}

fn kustomize(folder: &Path) -> String {
    succeed(
        Command::new(brought("kubectl", "python/bin"))
            .arg("kustomize")
            .arg(folder),
    )
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(&pod["initContainers"])
        .iter()
        .chain(list(&pod["containers"]))
}

/// `bearward check` of a configuration whose secrets lie in `folder`.
pub async fn check(text: &str, folder: &TempDir, secrets: &[&str]) -> Exit {
    let home = folder.path().to_str().unwrap();
    for secret in secrets {
        let content = match *secret {
            "store-key" => bearward(&["keygen"], "").await.stdout,
            _ => String::from("not-so-secret\n"),
        };
        write_private(&folder.path().join(secret), content.trim());
    }
    let text = ["/run/secrets/bearward", "/run/credentials/bearward.service"]
        .iter()
        .fold(text.to_owned(), |text, at| text.replace(at, home));
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    bearward(&["check", "--config", file.to_str().unwrap()], "").await
}

#[test]
fn every_overlay_builds_and_fits_the_schemas() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for built in Built::all() {
        let file = folder.path().join(format!("{}.yaml", built.name));
        std::fs::write(&file, &built.text).unwrap();
        files.push(file);
    }
    let mut old = validate();
    old.args(["-k", "1.29.0"]).args(&files);
    succeed(&mut old);
    // The policies came later than 1.29.
    let file = folder.path().join("inject.yaml");
    std::fs::write(&file, kustomize(&manifests().join("inject"))).unwrap();
    succeed(validate().args(&files).arg(&file));
}

/// `kubernetes-validate`, where `tests/run` puts it; by default it knows the newest version.
fn validate() -> Command {
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", root().join("tests/.cache/python"))
        .args(["-m", "kubernetes_validate", "--strict", "--quiet"]);
    command
}

#[test]
fn words_that_schemas_leave_open_are_known() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("restartPolicy", ["Always", "Never"].as_slice()),
        ("imagePullPolicy", &["IfNotPresent"]),
        ("protocol", &["TCP", "UDP"]),
        ("policyTypes", &["Ingress", "Egress"]),
        ("concurrencyPolicy", &["Forbid"]),
        ("fsGroupChangePolicy", &["OnRootMismatch"]),
        ("accessModes", &["ReadWriteOncePod"]),
        ("operator", &["Exists", "NotIn"]),
        ("failurePolicy", &["Fail"]),
        ("reinvocationPolicy", &["IfNeeded"]),
        ("patchType", &["JSONPatch"]),
        ("operations", &["CREATE"]),
        ("verbs", &["get", "patch"]),
        ("clusterIP", &["None"]),
    ]);
    let mut seen = 0;
    let mut look = |value: &Value| seen += words(value, &allowed);
    Built::all().for_each(|built| built.objects.iter().for_each(&mut look));
    yaml::documents(&kustomize(&manifests().join("inject")))
        .iter()
        .for_each(look);
    assert!(seen > 50, "{seen}");
}

/// How many words of these keys there are, all of which must be allowed.
fn words(value: &Value, allowed: &BTreeMap<&str, &[&str]>) -> usize {
    match value {
        Value::Array(all) => all.iter().map(|it| words(it, allowed)).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match allowed.get(key.as_str()) {
                None => words(value, allowed),
                Some(allowed) => {
                    let one = std::slice::from_ref(value);
                    let all = value.as_array().map_or(one, Vec::as_slice);
                    for word in all {
                        let known = word.as_str().is_some_and(|word| allowed.contains(&word));
                        assert!(known, "{key}: {word}");
                    }
                    all.len()
                }
            })
            .sum(),
        _ => 0,
    }
}

#[test]
fn selectors_match_and_names_lead_somewhere() {
    Built::all().for_each(leads_somewhere);
}

#[test]
fn another_name_needs_to_be_written_everywhere_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    rename(&manifests(), folder.path());
    for built in Built::each(folder.path(), "billing") {
        assert!(!built.text.contains("crm"), "{}", built.text);
        leads_somewhere(&built);
    }
}

/// Copies manifests as the README has an operator change them.
fn rename(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (
            entry.as_ref().unwrap().path(),
            to.join(entry.unwrap().file_name()),
        );
        if path.is_dir() {
            std::fs::create_dir(&to).unwrap();
            rename(&path, &to);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(to, text.replace("crm", "billing")).unwrap();
        }
    }
}

fn leads_somewhere(built: &Built) {
    let (name, service) = (built.name, built.service);
    let (workload, template) = built.workload();
    let labels = template["metadata"]["labels"].as_object().unwrap();
    let matches = |selector: &Value| {
        let wanted = selector.as_object().expect(name);
        !wanted.is_empty()
            && wanted
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    };
    if let Some(selector) = workload.pointer("/spec/selector/matchLabels") {
        assert!(matches(selector), "{name}");
    }
    for policy in built.of_kind("NetworkPolicy") {
        let selector = &policy["spec"]["podSelector"]["matchLabels"];
        assert!(matches(selector), "{name}");
        // Another service's pods in the same namespace have another value.
        let own = format!("{service}-bearward");
        assert_eq!(selector["bearward.dev/sidecar"], own.as_str(), "{name}");
    }
    for service in built.of_kind("Service") {
        assert!(matches(&service["spec"]["selector"]), "{name}");
        assert_eq!(workload["spec"]["serviceName"], service["metadata"]["name"]);
    }
    let account = built.pod()["serviceAccountName"].as_str().unwrap();
    assert!(built.has("ServiceAccount", account), "{name}: {account}");
    volumes_are_there(built);
    let read = Config::parse(built.configuration(), name).unwrap();
    let grants: Vec<_> = read.grant.into_values().collect();
    assert_eq!(grants.len(), 1, "{name}");
    let Store::Kubernetes(store) = &grants[0].store else {
        assert_eq!(built.of_kind("Role").count(), 0, "{name} needs no right");
        return;
    };
    let grant = store.secret.as_str();
    for kind in ["Secret", "Lease", "Role", "RoleBinding"] {
        assert!(built.has(kind, grant), "{name}: {kind}");
    }
    rights_reach(built, grant);
}

/// The account may use the Secret and the Lease of this name, and no right is given to another.
fn rights_reach(built: &Built, grant: &str) {
    for role in built.of_kind("Role") {
        for rule in list(&role["rules"]) {
            assert_eq!(rule["resourceNames"], serde_json::json!([grant]), "{rule}");
        }
    }
    for binding in built.of_kind("RoleBinding") {
        assert_eq!(binding["roleRef"]["name"], grant, "{binding}");
        let account = &built.pod()["serviceAccountName"];
        assert_eq!(&binding["subjects"][0]["name"], account, "{binding}");
    }
}

/// Each mount has its volume, each volume its source, and no token lies where none is needed.
fn volumes_are_there(built: &Built) {
    let (workload, pod) = (built.workload().0, built.pod());
    let claims = list(&workload["spec"]["volumeClaimTemplates"]);
    let claims = claims.iter().map(|claim| &claim["metadata"]["name"]);
    let volumes = list(&pod["volumes"]);
    let names: Vec<_> = volumes.iter().map(|it| &it["name"]).chain(claims).collect();
    for container in containers(pod) {
        for mount in list(&container["volumeMounts"]) {
            assert!(names.contains(&&mount["name"]), "{}: {mount}", built.name);
            let secret = mount["name"].as_str().unwrap().starts_with("bearward-");
            assert!(!secret || container["name"] == "bearward", "{container:#}");
        }
    }
    for volume in volumes {
        let map = volume.pointer("/configMap/name").and_then(Value::as_str);
        assert!(
            map.is_none_or(|map| built.has("ConfigMap", map)),
            "{volume}"
        );
        let secret = volume.pointer("/secret/secretName");
        let own = format!("{}-bearward", built.service);
        assert!(secret.is_none_or(|it| *it == own.as_str()), "{volume}");
    }
    let accounts: Vec<_> = built.of_kind("ServiceAccount").collect();
    assert_eq!(accounts[0]["automountServiceAccountToken"], false);
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    let mounted = list(&built.sidecar()["volumeMounts"]).iter();
    let mounted = mounted.filter(|mount| mount["mountPath"] == token).count();
    assert_eq!(
        mounted == 1,
        built.of_kind("Role").count() == 1,
        "{}",
        built.name
    );
    assert!(read("src/store/kubernetes/access/mod.rs").contains(token));
}

#[tokio::test]
async fn configurations_are_faultless() {
    for built in Built::all() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = ["client-secret", "store-key", "redis-password"];
        let checked = check(built.configuration(), &folder, &secrets).await;
        assert_eq!(checked.code, Some(0), "{}: {}", built.name, checked.stderr);
    }
}

#[test]
fn the_sidecar_comes_first_and_ends_last() {
    for built in Built::all() {
        let (name, sidecar) = (built.name, built.sidecar());
        let version = concat!("bearward:", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            (&sidecar["name"], &sidecar["image"]),
            (&Value::from("bearward"), &Value::from(version)),
            "{name}"
        );
        assert!(sidecar["lifecycle"]["preStop"].is_null(), "{name}");
        if built.form == Form::Native {
            assert_eq!(sidecar["restartPolicy"], "Always", "{name}");
            assert_eq!(sidecar["startupProbe"]["httpGet"]["path"], "/readyz");
            continue;
        }
        assert!(built.pod()["initContainers"].is_null(), "{name}");
        let start = &sidecar["lifecycle"]["postStart"]["exec"]["command"];
        let start: Vec<_> = list(start).iter().map(|it| it.as_str().unwrap()).collect();
        assert_eq!(start[..3], ["/bearward", "wait", "--ready"], "{name}");
        let proxy = Config::parse(built.configuration(), name).unwrap().proxy;
        let needed = proxy.linger.duration() + proxy.drain_timeout.duration();
        assert!(!proxy.linger.duration().is_zero(), "{name}");
        let grace = built.pod()["terminationGracePeriodSeconds"]
            .as_u64()
            .unwrap();
        assert!(grace >= needed.as_secs() + 6, "{name}: {grace} s");
    }
}

#[test]
fn probes_ask_ports_and_pages_that_exist() {
    let pages = read("src/admin/mod.rs");
    for built in Built::all() {
        let (name, sidecar) = (built.name, built.sidecar());
        let ports = list(&sidecar["ports"]);
        let admin = &Config::parse(built.configuration(), name).unwrap().admin;
        let listens = admin.listen.to_string();
        assert!(listens.starts_with("0.0.0.0:"), "{name}: {listens}");
        assert!(!admin.actions, "{name}");
        let mut probes = 0;
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let get = &sidecar[probe]["httpGet"];
            let Some(path) = get["path"].as_str() else {
                continue;
            };
            assert!(pages.contains(&format!("\"{path}\" => ")), "{name}: {path}");
            let port = ports.iter().find(|port| port["name"] == get["port"]);
            let port = port.expect(name)["containerPort"].to_string();
            assert!(listens.ends_with(&format!(":{port}")), "{name}: {port}");
            probes += 1;
        }
        assert!(probes > 0, "{name}");
    }
    let monitor = yaml::documents(&read("deploy/prometheus/podmonitor.yaml")).remove(0);
    let scraped = &monitor["spec"]["podMetricsEndpoints"][0];
    let selected = &monitor["spec"]["selector"]["matchExpressions"][0];
    let built = Built::named("redis");
    assert_eq!(scraped["port"], built.sidecar()["ports"][0]["name"]);
    let labels = &built.workload().1["metadata"]["labels"];
    assert!(labels[selected["key"].as_str().unwrap()].is_string());
    assert!(pages.contains(&format!("{} => ", scraped["path"])));
    let plain = read("deploy/prometheus/scrape-kubernetes.yaml");
    assert!(plain.contains("regex: bearward-admin\n"));
}

#[test]
fn every_container_passes_the_restricted_standard() {
    for built in Built::all() {
        let (name, pod) = (built.name, built.pod());
        for forbidden in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
            assert!(pod[forbidden].is_null(), "{name}: {forbidden}");
        }
        for container in containers(pod) {
            let own = &container["securityContext"];
            let either = |pointer: &str| {
                let own = own.pointer(pointer);
                own.or_else(|| pod["securityContext"].pointer(pointer))
            };
            let told = || format!("{name}: {container:#}");
            assert_eq!(own["allowPrivilegeEscalation"], false, "{}", told());
            assert_eq!(own["capabilities"]["drop"][0], "ALL", "{}", told());
            assert!(own["capabilities"]["add"].is_null(), "{}", told());
            assert_eq!(
                either("/runAsNonRoot"),
                Some(&Value::Bool(true)),
                "{}",
                told()
            );
            assert!(either("/runAsUser").and_then(Value::as_u64).unwrap() > 0);
            let seccomp = either("/seccompProfile/type").and_then(Value::as_str);
            assert_eq!(seccomp, Some("RuntimeDefault"), "{}", told());
            assert!(container["resources"]["limits"]["memory"].is_string());
        }
        let own = &built.sidecar()["securityContext"];
        assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(
            (&own["runAsUser"], &own["runAsGroup"]),
            (&65532.into(), &65532.into())
        );
    }
}

#[test]
fn the_role_gives_what_the_store_uses_and_no_more() {
    let built = Built::named("kubernetes");
    let roles: Vec<_> = built.of_kind("Role").collect();
    assert_eq!(roles.len(), 1);
    let told: Vec<_> = list(&roles[0]["rules"])
        .iter()
        .map(Value::to_string)
        .collect();
    let rule = |group: &str, resource: &str| {
        format!(
            "{{\"apiGroups\":[\"{group}\"],\"resourceNames\":[\"crm-grant\"],\
             \"resources\":[\"{resource}\"],\"verbs\":[\"get\",\"patch\"]}}"
        )
    };
    let expected = [rule("", "secrets"), rule("coordination.k8s.io", "leases")];
    assert_eq!(told, expected);
    // A manifest that is applied again must not empty the Secret.
    assert!(
        built
            .of_kind("Secret")
            .all(|secret| secret["data"].is_null())
    );
    let binding = built.of_kind("RoleBinding").next().unwrap();
    assert_eq!(binding["roleRef"]["name"], roles[0]["metadata"]["name"]);
    let account = &built.pod()["serviceAccountName"];
    assert_eq!(&binding["subjects"][0]["name"], account);
}

#[test]
fn nothing_in_the_manifests_is_left_out_of_the_overlays() {
    let folder = root().join("deploy/kubernetes/overlays");
    let names = std::fs::read_dir(&folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names {
        assert!(OVERLAYS.iter().any(|(known, _)| *known == name), "{name}");
        assert!(
            Path::new(&folder)
                .join(&name)
                .join("kustomization.yaml")
                .is_file()
        );
    }
}
