//! What systemd is told, and which sockets are taken from it.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::practice::{Api, Issuer};
use crate::support::Sidecar;
use crate::support::client::{self, Address, PATIENCE};

/// The next words that arrive.
async fn heard(socket: UnixDatagram) -> (String, UnixDatagram) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let read = move || {
        let mut text = [0; 64];
        let length = socket.recv(&mut text).expect("word in time");
        (
            String::from_utf8_lossy(&text[..length]).into_owned(),
            socket,
        )
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test]
async fn the_manager_hears_of_start_reload_and_end() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let name = format!("bearward-{}", std::process::id());
    let abstractly = SocketAddr::from_abstract_name(&name).unwrap();
    let sockets = [
        (
            path.to_str().unwrap().to_owned(),
            UnixDatagram::bind(&path).unwrap(),
        ),
        (
            format!("@{name}"),
            UnixDatagram::bind_addr(&abstractly).unwrap(),
        ),
    ];
    for (variable, socket) in sockets {
        let plan = Sidecar::between(&issuer, &api).environment("NOTIFY_SOCKET", &variable);
        let mut sidecar = plan.start_unready().await;
        let (word, socket) = heard(socket).await;
        assert_eq!(word, "READY=1");
        sidecar.signal(Signal::Hup);
        let (word, socket) = heard(socket).await;
        assert_eq!(word, "RELOADING=1");
        let (word, socket) = heard(socket).await;
        assert_eq!(word, "READY=1");
        sidecar.signal(Signal::Term);
        assert_eq!(heard(socket).await.0, "STOPPING=1");
        assert_eq!(sidecar.wait_exit().await, Some(0));
    }
}

/// Sockets as a service manager holds them: they outlive the process that they are handed to.
struct Manager(Vec<OwnedFd>);

impl Manager {
    fn with(sockets: impl IntoIterator<Item = OwnedFd>) -> Self {
        // Copies, since these are not closed in children.
        let sockets = sockets.into_iter();
        Self(sockets.map(|it| rustix::io::dup(it).unwrap()).collect())
    }

    /// The line that hands them over, for the process `pid` in Python's words.
    fn hands_over_to(&self, pid: &str) -> String {
        let numbers = self.0.iter().map(|it| it.as_raw_fd().to_string());
        let numbers: Vec<_> = numbers.collect();
        let moves = "for i, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]): os.dup2(fd, 3 + i)";
        format!(
            "exec python3 -c '\nimport fcntl, os, sys\nfds = [{}]\n{moves}\n\
             os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str({pid}))\n\
             os.execv(sys.argv[1], sys.argv[1:])' \"$@\"",
            numbers.join(", ")
        )
    }

    fn hands_over(&self) -> String {
        self.hands_over_to("os.getpid()")
    }
}

/// A Unix socket and its address in the configuration.
fn unix(path: &Path) -> (OwnedFd, String) {
    let listener = UnixListener::bind(path).unwrap();
    (listener.into(), format!("unix:{}", path.display()))
}

#[tokio::test]
async fn sockets_are_taken_from_the_manager_and_left_to_it() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let (socket, proxy) = unix(&path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = door.local_addr().unwrap().to_string();
    let manager = Manager::with([door.into(), socket]);
    let plan = Sidecar::between(&issuer, &api)
        .config(&format!(
            "[proxy]\nlisten = \"{proxy}\"\nworkers = 2\n[admin]\nlisten = \"{admin}\""
        ))
        .by_way_of(&manager.hands_over());
    let mut sidecar = plan.start().await;
    assert_eq!(sidecar.proxy(), &Address::Unix(path.clone()));
    for _ in 0..8 {
        assert_eq!(sidecar.get("/orders").await.status, 200);
    }
    sidecar.stop().await;
    let mode = std::fs::metadata(&path)
        .expect("the manager's file")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o620);

    // Who calls while nobody is there waits for the next process, instead of being refused.
    let address = sidecar.proxy().clone();
    let early = tokio::spawn(async move { client::call(&address, client::get("/early")).await });
    sidecar.start_again().await;
    assert_eq!(early.await.unwrap().unwrap().status, 200);
    assert_eq!(sidecar.admin().to_string(), admin);
}

#[tokio::test]
async fn a_socket_that_nothing_is_configured_for_stops_the_start() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let folder = tempfile::tempdir().unwrap();
    let (socket, address) = unix(&folder.path().join("other.sock"));
    let manager = Manager::with([socket]);
    let plan = Sidecar::between(&issuer, &api).by_way_of(&manager.hands_over());
    let exit = plan.start_failing().await;
    assert_eq!(exit.code, Some(1));
    let told = format!("the service manager handed over `{address}`, which nothing is configured");
    assert!(exit.stderr.contains(&told), "{}", exit.stderr);
    assert!(exit.stderr.contains("ListenStream="), "{}", exit.stderr);
}

#[tokio::test]
async fn what_cannot_be_listened_on_stops_the_start() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    // As `Accept=yes` would hand it over, and a file that is no socket at all.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = std::fs::File::open("Cargo.toml").unwrap();
    for (socket, reason) in [
        (OwnedFd::from(connection), "it does not listen"),
        (file.into(), "not a socket"),
        (
            UnixDatagram::unbound().unwrap().into(),
            "not a valid unix stream socket",
        ),
    ] {
        let manager = Manager::with([socket]);
        let plan = Sidecar::between(&issuer, &api).by_way_of(&manager.hands_over());
        let exit = plan.start_failing().await;
        assert_eq!(exit.code, Some(1), "{reason}");
        for part in ["descriptor 3", reason, "Accept=no"] {
            assert!(exit.stderr.contains(part), "{part}: {}", exit.stderr);
        }
    }
}

#[tokio::test]
async fn what_was_handed_to_another_process_is_not_taken() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let folder = tempfile::tempdir().unwrap();
    let (socket, _) = unix(&folder.path().join("proxy.sock"));
    let manager = Manager::with([socket]);
    let plan = Sidecar::between(&issuer, &api).by_way_of(&manager.hands_over_to("os.getppid()"));
    let sidecar = plan.start().await;
    assert!(matches!(sidecar.proxy(), Address::Tcp(_)));
    assert_eq!(sidecar.get("/orders").await.status, 200);
}

#[tokio::test]
async fn the_first_caller_starts_it_by_systemds_own_tool() {
    Command::new("systemd-socket-activate")
        .arg("--version")
        .output()
        .expect("`systemd-socket-activate` is missing: `tests/run` installs it");
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let path = path.to_str().unwrap();
    let plan = Sidecar::between(&issuer, &api)
        .config(&format!("[proxy]\nlisten = \"unix:{path}\""))
        .by_way_of(&format!(
            "exec systemd-socket-activate --listen={path} \"$@\""
        ));
    let work = async |address: &Address| {
        let answer = client::call(address, client::get("/orders")).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    plan.run_until(work, path).await;
    assert!(Path::new(path).exists());
}
