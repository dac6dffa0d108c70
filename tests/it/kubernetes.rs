//! A grant in a Secret of Kubernetes, through the real program.

use serde_json::Value;

use crate::practice::{Api, Authority, Issuer, Kubernetes, NAMESPACE, Outcome};
use crate::support::settings::quoted;
use crate::support::{Sidecar, SidecarBuilder};

/// An API server, and what a kubeconfig says of it.
struct Cluster {
    server: Kubernetes,
    authority: Authority,
}

impl Cluster {
    async fn start() -> Self {
        let authority = Authority::new().unwrap();
        let server = Kubernetes::secured("crm-grant", &authority).await;
        server.rotate_token("service-account-token");
        Self { server, authority }
    }

    /// The same sidecar with its grant here and not in a file.
    fn keeps(&self, mut sidecar: SidecarBuilder) -> SidecarBuilder {
        sidecar.secret_file("token", "service-account-token");
        let folder = sidecar.home();
        std::fs::write(folder.join("ca.pem"), self.authority.pem()).unwrap();
        let kubeconfig = folder.join("kubeconfig");
        let text = format!(
            "current-context: here\n\
             contexts: [{{name: here, context: {{cluster: c, user: u, namespace: {NAMESPACE}}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"{}\", certificate-authority: ca.pem}}}}]\n\
             users: [{{name: u, user: {{tokenFile: token}}}}]\n",
            self.server.url()
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let grant = sidecar.settings().table()["grant"]["crm"].as_table_mut();
        grant.unwrap().remove("store");
        sidecar.grant(&format!(
            "store.kubernetes = {{ secret = 'crm-grant', key = 'none', kubeconfig = {} }}",
            quoted(kubeconfig.to_str().unwrap())
        ))
    }

    /// True once there is a grant in the Secret.
    fn has_grant(&self) -> bool {
        self.server.object("secrets/crm-grant")["data"]["grant"].is_string()
    }

    /// Whether nothing but what the Role allows was asked, and each write named a version.
    fn assert_well_behaved(&self) {
        for asked in self.server.asked().all() {
            assert!(asked.object.ends_with("/crm-grant"), "{asked:?}");
            let right = match asked.verb {
                "get" => true,
                "patch" => asked.version.is_some(),
                _ => false,
            };
            assert!(right, "{asked:?}");
        }
    }
}

#[tokio::test]
async fn a_grant_in_a_secret_outlives_the_process() {
    let (issuer, cluster) = (Issuer::start().await, Cluster::start().await);
    let api = Api::start(&issuer).await;
    let sidecar = Sidecar::between(&issuer, &api);
    let mut sidecar = cluster.keeps(sidecar).start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert!(cluster.has_grant());
    let refreshes = issuer.refreshes();

    sidecar.crash().await;
    sidecar.start_again().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(
        issuer.refreshes(),
        refreshes,
        "the access token is kept too"
    );
    assert_eq!(issuer.count(Outcome::Reused), 0);
    cluster.assert_well_behaved();
}

#[tokio::test]
async fn an_operator_imports_and_looks_from_outside() {
    let (issuer, cluster) = (Issuer::start().await, Cluster::start().await);
    let api = Api::start(&issuer).await;
    let mut operator = cluster.keeps(Sidecar::between(&issuer, &api));
    let grant = operator.settings().table()["grant"]["crm"].as_table_mut();
    grant.unwrap().remove("seed");
    let imported = operator
        .command(&["import", "crm"], &issuer.refresh_token())
        .await;
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert!(cluster.has_grant());
    let status = operator.command(&["status", "--json"], "").await;
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["grants"][0]["state"], "live", "{status:#}");

    // What a pod finds there it goes on with.
    let sidecar = operator.start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    cluster.assert_well_behaved();
}

#[tokio::test]
async fn what_the_role_lacks_is_told_to_the_operator() {
    let (issuer, cluster) = (Issuer::start().await, Cluster::start().await);
    let api = Api::start(&issuer).await;
    let operator = cluster.keeps(Sidecar::between(&issuer, &api));
    cluster.server.forbid("patch", "secrets/crm-grant");
    let imported = operator
        .command(&["import", "crm"], &issuer.refresh_token())
        .await;
    assert_eq!(imported.code, Some(1), "{}", imported.stderr);
    for told in [
        "we may not patch the Secret `practice/crm-grant`",
        "resourceNames: [\"crm-grant\"], verbs: [\"get\", \"patch\"]",
    ] {
        assert!(imported.stderr.contains(told), "{}", imported.stderr);
    }
    assert!(!cluster.has_grant());
}
