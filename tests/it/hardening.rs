//! What the system shows of the running process.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::practice::{Api, Issuer};
use crate::support::Sidecar;

/// Somebody who is not root: Debian's `nobody`.
const NOBODY: u32 = 65534;

fn give_away(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

#[tokio::test]
async fn neither_memory_nor_environment_is_open_to_the_same_user() {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    let mut plan = Sidecar::between(&issuer, &api);
    // Root may see everything, so the process must be somebody else's for the owner to tell.
    if rustix::process::geteuid().is_root() {
        let program = plan.home().join("bearward");
        std::fs::copy(env!("CARGO_BIN_EXE_bearward"), &program).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let file = plan.config_file();
        plan.settings().write(&file);
        give_away(plan.home());
        let line = format!(
            "shift; exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {program:?} \"$@\""
        );
        plan = plan.by_way_of(&line);
    }
    let mut sidecar = plan.start().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    let proc = Path::new("/proc").join(sidecar.id().to_string());
    // The files of a process that may be dumped belong to its user, those of others to root.
    for file in ["environ", "mem", "maps"] {
        let owner = std::fs::metadata(proc.join(file)).unwrap().uid();
        assert_eq!(owner, 0, "{file}");
    }
    let user = std::fs::read_to_string(proc.join("status")).unwrap();
    assert!(
        !user.contains("\nUid:\t0\t"),
        "it runs as somebody who is not root"
    );

    let command = std::fs::read(proc.join("cmdline")).unwrap();
    let command = String::from_utf8_lossy(&command).into_owned();
    assert_eq!(
        sidecar.leaks().find([("command line", command.as_str())]),
        Vec::<String>::new()
    );

    let process = Pid::from_raw(sidecar.id().try_into().unwrap());
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // Whoever is not root may not raise it; then there is no core in any case.
    let _ = prlimit(process, Resource::Core, unlimited);
    sidecar.signal(Signal::Abort);
    let status = sidecar.wait_status().await;
    assert_eq!(status.signal(), Some(6));
    assert!(!status.core_dumped());
}
