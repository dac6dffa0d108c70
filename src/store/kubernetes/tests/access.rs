//! The ways to the API server: service account, kubeconfig, plugins.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::engine::general_purpose::STANDARD;

use super::practice::tls::Authority;
use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// A folder, and the API server with TLS.
struct Secured {
    server: Kubernetes,
    authority: Authority,
    folder: TempDir,
}

impl Secured {
    async fn new() -> Self {
        let authority = Authority::new().unwrap();
        Self {
            server: Kubernetes::secured("crm", &authority).await,
            authority,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn ca(&self) -> String {
        format!(
            "certificate-authority-data: {}",
            STANDARD.encode(self.authority.pem())
        )
    }

    /// The service account's folder, and the address that a pod is told.
    fn pod(&self) -> Surroundings {
        self.write("token", "first-token");
        self.write("ca.crt", self.authority.pem());
        self.write("namespace", NAMESPACE);
        let address = self.server.url().trim_start_matches("https://");
        let (host, port) = address.split_once(':').unwrap();
        Surroundings {
            service: Some((host.to_owned(), port.to_owned())),
            account: self.folder.path().to_owned(),
            ..Surroundings::default()
        }
    }
}

/// One look at the Secret by this way.
async fn look(access: Access) -> Result<(), Error> {
    let namespace = access.namespace()?;
    let secret = Object::secret(namespace, "crm".parse().unwrap());
    let client = Client::new(access, LIMIT);
    client.get::<SecretObject>(&secret).await.map(drop)
}

fn by(path: &Path) -> Result<Access, Error> {
    Access::find(Some(path), &Surroundings::default(), LIMIT)
}

#[tokio::test]
async fn a_pod_uses_its_service_account() {
    let secured = Secured::new().await;
    let surroundings = secured.pod();
    let access = Access::find(None, &surroundings, LIMIT).unwrap();
    look(access).await.unwrap();
    fs::remove_file(secured.folder.path().join("token")).unwrap();
    let error = Access::find(None, &surroundings, LIMIT).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        error
            .hint()
            .unwrap()
            .contains("automountServiceAccountToken")
    );
}

#[tokio::test]
async fn an_authority_that_changes_is_taken_up_without_a_restart() {
    let secured = Secured::new().await;
    let surroundings = secured.pod();
    let stranger = Authority::new().unwrap();
    secured.write("ca.crt", stranger.pem());
    let access = Access::find(None, &surroundings, LIMIT).unwrap();
    let secret = Object::secret(NAMESPACE.parse().unwrap(), "crm".parse().unwrap());
    let client = Client::new(access, LIMIT);
    let error = client
        .get::<SecretObject>(&secret)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Away);
    assert!(
        error.hint().unwrap().contains("must be signed by"),
        "{error:?}"
    );
    secured.write("ca.crt", secured.authority.pem());
    client.get::<SecretObject>(&secret).await.map(drop).unwrap();
}

#[tokio::test]
async fn a_kubeconfig_is_gone_by_as_kubectl_does() {
    let secured = Secured::new().await;
    let (chain, key) = secured.authority.certificate(&["client"]).unwrap();
    secured.write("ca.pem", secured.authority.pem());
    secured.write("token", "first-token");
    let certificate = format!(
        "client-certificate-data: {}\n    client-key-data: {}\n    token: first-token",
        STANDARD.encode(chain),
        STANDARD.encode(key)
    );
    for (cluster, user) in [
        (secured.ca(), "token: first-token"),
        (
            String::from("certificate-authority: ca.pem"),
            "tokenFile: token",
        ),
        (
            secured.ca() + "\n    tls-server-name: localhost",
            certificate.as_str(),
        ),
    ] {
        let text = kubeconfig(secured.server.url(), &cluster, user);
        look(by(&secured.write("config", &text)).unwrap())
            .await
            .unwrap();
    }
    // Several files: the first that has an entry is right, and a missing one is passed over.
    let text = kubeconfig(secured.server.url(), &secured.ca(), "token: first-token");
    let first = secured.write("first", "current-context: here\nusers: []\n");
    let second = secured.write("second", &text);
    let surroundings = Surroundings {
        kubeconfig: Some(format!("{}:/nowhere:{}", first.display(), second.display())),
        ..secured.pod()
    };
    look(Access::find(None, &surroundings, LIMIT).unwrap())
        .await
        .unwrap();
}

#[test]
fn a_kubeconfig_that_cannot_be_gone_by_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let there = "https://127.0.0.1:1";
    for (server, cluster, user, told) in [
        (
            there,
            "insecure-skip-tls-verify: true",
            "token: hunter2",
            "nobody has proved",
        ),
        (
            there,
            "proxy-url: http://proxy",
            "token: hunter2",
            "`proxy-url` of",
        ),
        (there, "", "username: admin", "`username` of"),
        (
            there,
            "",
            "auth-provider: {name: gcp}",
            "`auth-provider` of",
        ),
        (there, "", "as: somebody", "`as` of"),
        (
            "http://10.0.0.1",
            "",
            "token: hunter2",
            "would show the grant to the network",
        ),
        ("10.0.0.1:6443", "", "token: hunter2", "is not a URL"),
        (there, "", "token: [hunter2]", "cannot be read"),
        (there, "", "token: *hunter2", "cannot be read"),
    ] {
        fs::write(&path, kubeconfig(server, cluster, user)).unwrap();
        let error = by(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.to_string().contains(told), "{error}");
        assert!(!chain(&error).contains("hunter2"), "{error:?}");
    }
    for (text, told) in [
        ("contexts: []", "has no current context"),
        ("current-context: here", "has no context `here`"),
    ] {
        fs::write(&path, text).unwrap();
        let error = by(&path).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
    let error = Access::find(None, &Surroundings::default(), LIMIT).unwrap_err();
    assert!(
        error.to_string().starts_with("nothing says where"),
        "{error}"
    );
}

/// A credential plugin that gives what stands in the file `answer`, and counts its runs.
fn plugin(secured: &Secured, script: &str) -> PathBuf {
    let path = secured.write(
        "plugin",
        &format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho run >>runs\n{script}\n"),
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let exec = "exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: ./plugin\n      \
                env: [{name: WHO, value: somebody}]\n      installHint: install the plugin\n      interactiveMode: Never\n      provideClusterInfo: true";
    secured.write(
        "config",
        &kubeconfig(secured.server.url(), &secured.ca(), exec),
    )
}

fn credential(token: &str, until: &str) -> String {
    format!(
        "{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\
         \"status\":{{\"token\":\"{token}\",\"expirationTimestamp\":\"{until}\"}}}}"
    )
}

#[tokio::test]
async fn a_plugin_is_run_when_its_last_answer_has_ended_or_was_rejected() {
    let secured = Secured::new().await;
    let path = plugin(
        &secured,
        "[ \"$WHO\" = somebody ] || exit 3\ncase $KUBERNETES_EXEC_INFO in *certificate-authority-data*) cat answer ;; esac",
    );
    let runs = || {
        fs::read_to_string(secured.folder.path().join("runs"))
            .unwrap()
            .lines()
            .count()
    };
    let secret = Object::secret(NAMESPACE.parse().unwrap(), "crm".parse().unwrap());
    let client = Client::new(by(&path).unwrap(), LIMIT);
    let look = || async { client.get::<SecretObject>(&secret).await.map(drop) };

    secured.write("answer", &credential("first-token", "2999-01-01T00:00:00Z"));
    look().await.unwrap();
    look().await.unwrap();
    assert_eq!(runs(), 1, "it is good for long");
    secured.server.rotate_token("second-token");
    secured.write(
        "answer",
        &credential("second-token", "1999-01-01T00:00:00Z"),
    );
    look().await.unwrap();
    assert_eq!(runs(), 2, "what it gave was rejected");
    look().await.unwrap();
    assert_eq!(runs(), 3, "what it gave has ended");
    assert!(!format!("{client:?}").contains("token\""), "{client:?}");
}

#[tokio::test]
async fn a_plugin_that_gives_nothing_is_named() {
    let secured = Secured::new().await;
    for (script, kind, told) in [
        ("exit 7", ErrorKind::Away, "ended with exit status: 7"),
        ("echo hunter2", ErrorKind::Refused, "printed no credential"),
        (
            "echo '{\"apiVersion\":\"hunter2\",\"status\":{}}'",
            ErrorKind::Refused,
            "printed no credential",
        ),
    ] {
        let path = plugin(&secured, script);
        let error = look(by(&path).unwrap()).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.to_string().contains(told), "{error}");
        assert!(!chain(&error).contains("hunter2"));
    }
    let path = plugin(&secured, "");
    fs::remove_file(secured.folder.path().join("plugin")).unwrap();
    let error = look(by(&path).unwrap()).await.unwrap_err();
    assert_eq!(error.hint(), Some("install the plugin"));
}
