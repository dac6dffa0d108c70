//! A full disk in the middle of a refresh: the rotated token must not be lost.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::practice::{Api, Gate, Issuer, Outcome, Reply};
use crate::support::{Sidecar, SidecarBuilder};

/// What can become full.
enum Disk {
    /// A file system of 64 KiB, unmounted when dropped.
    Mounted(PathBuf),
    /// Where nothing may be mounted: a limit of the process, whose signal it ignores.
    Limited,
}

impl Disk {
    fn new(plan: &SidecarBuilder) -> Self {
        let folder = plan.home().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"])
            .arg(&folder);
        match mount.output() {
            Ok(output) if output.status.success() => Self::Mounted(folder),
            _ => {
                eprintln!("nothing can be mounted here: a file size limit stands for a full disk");
                Self::Limited
            }
        }
    }

    fn fill(&self, sidecar: &Sidecar) {
        match self {
            Self::Mounted(folder) => {
                let full = std::fs::write(folder.join("ballast"), vec![0; 1 << 20]).unwrap_err();
                assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
            }
            Self::Limited => limit(sidecar, Some(16)),
        }
    }

    fn empty(&self, sidecar: &Sidecar) {
        match self {
            Self::Mounted(folder) => std::fs::remove_file(folder.join("ballast")).unwrap(),
            Self::Limited => limit(sidecar, None),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(folder) = self {
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

/// The largest file that the process may write; the hard limit stays, so that it can be lifted.
fn limit(sidecar: &Sidecar, bytes: Option<u64>) {
    let process = Pid::from_raw(sidecar.id().try_into().unwrap());
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(process, Resource::Fsize, limit).unwrap();
}

#[tokio::test]
async fn a_full_disk_loses_no_rotated_token() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .by_way_of("trap '' XFSZ; exec \"$@\"");
    let disk = Disk::new(&plan);
    let store = plan.home().join("disk/crm.grant");
    let socket = format!("unix:{}", plan.home().join("admin.sock").display());
    let sidecar = plan
        .grant(&format!("store.file.path = {store:?}"))
        .config(&format!("admin.listen = {socket:?}"))
        .start()
        .await;
    assert_eq!(sidecar.get("/").await.status, 200);

    // The intent is saved, the token is spent, and then there is no room for the new one.
    let gate = Gate::closed();
    issuer.next(Reply::regular().hold(&gate));
    api.reject(&issuer.access_token().unwrap());
    let answer = tokio::join!(sidecar.get("/rejected"), async {
        gate.reached_by(1).await;
        disk.fill(&sidecar);
        let before = std::fs::read(&store).unwrap();
        gate.open();
        before
    });
    let (answer, before) = answer;
    assert_eq!(answer.status, 200, "the new token is served");
    assert_eq!(
        std::fs::read(&store).unwrap(),
        before,
        "the old record is whole"
    );
    tells(&sidecar, Newest::Unsaved).await;

    // More calls, more rejections: nothing is rotated while the newest token is not safe.
    api.reject(&issuer.access_token().unwrap());
    for _ in 0..20 {
        let status = sidecar.get("/").await.status;
        assert!(status == 401 || status == 200, "{status}");
    }
    assert_eq!(issuer.refreshes(), 2);

    disk.empty(&sidecar);
    sidecar
        .logged(|event| event.message == "the record is saved at last")
        .await;
    sidecar.ready().await;
    assert_ne!(std::fs::read(&store).unwrap(), before);
    assert_eq!(sidecar.get("/").await.status, 200);
    tells(&sidecar, Newest::Saved).await;
    assert_eq!(issuer.count(Outcome::Reused), 0);
    drop(sidecar);
}

/// Whether the newest record is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newest {
    Saved,
    Unsaved,
}

/// Every face says whether the newest record is saved.
async fn tells(sidecar: &Sidecar, newest: Newest) {
    let unsaved = newest == Newest::Unsaved;
    let ready = sidecar.ask("/readyz").await;
    assert_eq!(ready.status.is_success(), !unsaved, "{}", ready.text());
    let gauge = sidecar
        .metrics()
        .await
        .one("bearward_grant_unsaved", &[("grant", "crm")]);
    assert_eq!(gauge, Some(f64::from(u8::from(unsaved))));
    let status = sidecar.command(&["status"], "").await;
    assert_eq!(
        status
            .stdout
            .contains("the newest refresh token is NOT saved"),
        unsaved,
        "{}",
        status.stdout
    );
}

#[tokio::test]
async fn with_a_full_disk_no_token_is_spent() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let plan = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .by_way_of("trap '' XFSZ; exec \"$@\"");
    let disk = Disk::new(&plan);
    let store = plan.home().join("disk/crm.grant");
    let sidecar = plan
        .grant(&format!("store.file.path = {store:?}"))
        .start()
        .await;
    disk.fill(&sidecar);
    let before = std::fs::read(&store).unwrap();
    api.reject(&issuer.access_token().unwrap());
    assert_eq!(
        sidecar.get("/").await.status,
        401,
        "no newer token can be had"
    );
    let told = sidecar
        .logged(|event| event.message == "store failed")
        .await;
    assert!(
        told.field("error").contains("cannot be written"),
        "{told:?}"
    );
    assert_eq!(issuer.refreshes(), 1);
    assert_eq!(std::fs::read(&store).unwrap(), before);
    disk.empty(&sidecar);
    issuer.requests().reaches(2).await.unwrap();
    assert_eq!(sidecar.get("/").await.status, 200);
    drop(sidecar);
}
