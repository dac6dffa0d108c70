//! What systemd is told, and how its unit is hardened.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::Signal;

use crate::practice::{Api, Issuer};
use crate::support::Sidecar;
use crate::support::client::PATIENCE;

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
