//! The contract over every store, and what the file store promises beyond it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use prometheus::Registry;
use tempfile::TempDir;

use super::contract::shared::{SharedShelf, shared_contract};
use super::contract::{Shelf, chain, contract, full};
use super::envelope::{Codec, LARGEST};
use super::key::Keys;
use super::memory::{Memory, Trouble};
use super::{Claim, Error, ErrorKind, FileStore, Holder, Key, Measured, Metrics, Store};
use crate::config::{self, GrantName, Source};
use crate::secret::Secret;

contract!(in_memory, InMemory(Memory::default()));
contract!(in_a_plain_file, Folder::new());
contract!(in_a_sealed_file, Folder::sealed());
shared_contract!(in_shared_memory, Together::new());
shared_contract!(measured, Counted(Together::new()));

/// The environment variable that tells [`child`] what to do.
const CHILD: &str = "BEARWARD_STORE_TEST_CHILD";

struct InMemory(Memory);

impl Shelf for InMemory {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }
}

/// Memory that several handles share, by a clock that is moved by hand.
struct Together {
    memory: Memory,
    now: Arc<Mutex<Duration>>,
}

impl Together {
    fn new() -> Self {
        let now = Arc::<Mutex<Duration>>::default();
        let clock = Arc::clone(&now);
        let memory = Memory::shared(move || *clock.lock().unwrap());
        Self { memory, now }
    }
}

impl Shelf for Together {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.memory.peer())
    }
}

impl SharedShelf for Together {
    async fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }
}

struct Counted(Together);

impl Shelf for Counted {
    fn open(&self) -> Arc<dyn Store> {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let memory = self.0.memory.peer();
        Arc::new(Measured::new(memory, &grant("crm"), &metrics))
    }
}

impl SharedShelf for Counted {
    async fn pass(&self, time: Duration) {
        self.0.pass(time).await;
    }
}

/// A folder with room for one grant's file and for key files.
struct Folder {
    root: TempDir,
    settings: config::FileStore,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let settings = config::FileStore {
            path: root.path().join("grants/crm.grant"),
            key: None,
            old_keys: Vec::new(),
        };
        Self { root, settings }
    }

    fn sealed() -> Self {
        let folder = Self::new();
        let key = folder.key("one");
        folder.with_keys(Some(&key), &[])
    }

    /// Makes a key file of this name.
    fn key(&self, name: &str) -> Source {
        let path = self.root.path().join(name);
        fs::write(&path, Key::generate().unwrap().text().expose()).unwrap();
        Source::File(path)
    }

    fn with_keys(mut self, key: Option<&Source>, old: &[&Source]) -> Self {
        self.settings.key = key.cloned();
        self.settings.old_keys = old.iter().copied().cloned().collect();
        self
    }

    fn try_open(&self) -> Result<FileStore, Error> {
        FileStore::open(&self.settings, &grant("crm"))
    }

    fn file(&self) -> &Path {
        &self.settings.path
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.file().with_file_name(name)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// The names of the files in the grant's folder.
    fn names(&self) -> Vec<String> {
        let folder = fs::read_dir(self.file().parent().unwrap()).unwrap();
        let mut names: Vec<_> = folder
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    async fn saved(self, generation: u64) -> Self {
        let store = self.try_open().unwrap();
        store.save(&full(generation), None).await.unwrap();
        self
    }
}

impl Shelf for Folder {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.try_open().unwrap())
    }
}

fn grant(name: &str) -> GrantName {
    name.parse().unwrap()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Asserts the kind of an error and that its chain has each of `words` and no secret.
#[track_caller]
fn assert_error<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, words: &[&str]) {
    let error = result.unwrap_err();
    let shown = chain(&error);
    assert_eq!(error.kind, kind, "{shown}");
    for word in words {
        assert!(shown.contains(word), "`{word}` is missing: {shown}");
    }
    assert!(!shown.contains("never shown"), "{shown}");
}

#[tokio::test]
async fn makes_folder_file_and_lock_for_us_alone() {
    let folder = Folder::new().saved(0).await;
    assert_eq!(folder.names(), ["crm.grant", "crm.grant.lock"]);
    assert_eq!(mode(folder.file().parent().unwrap()), 0o700);
    assert_eq!(mode(folder.file()), 0o600);
    assert_eq!(mode(&folder.beside("crm.grant.lock")), 0o600);
}

#[test]
fn makes_one_folder_and_no_more() {
    let mut folder = Folder::new();
    folder.settings.path = folder.root.path().join("a/b/crm.grant");
    assert_error(folder.try_open(), ErrorKind::Away, &["a/b", "folder above"]);
    folder.settings.path = PathBuf::from("/");
    assert_error(folder.try_open(), ErrorKind::Refused, &["names no file"]);
}

#[tokio::test]
async fn a_folder_that_others_can_write_is_refused() {
    let folder = Folder::new().saved(0).await;
    let parent = folder.file().parent().unwrap();
    for allowed in [0o700, 0o750, 0o755, 0o2755] {
        chmod(parent, allowed);
        assert!(folder.try_open().is_ok(), "{allowed:o}");
    }
    for refused in [0o777, 0o770, 0o720, 0o702, 0o1777, 0o2770] {
        chmod(parent, refused);
        let shown = format!("{refused:04o}");
        let way_out = format!("`chmod 700 {}`", parent.display());
        assert_error(folder.try_open(), ErrorKind::Refused, &[&shown, &way_out]);
        assert_eq!(mode(parent), refused);
    }
}

#[tokio::test]
async fn a_file_that_others_can_reach_is_refused() {
    let folder = Folder::new().saved(0).await;
    for refused in [0o644, 0o640, 0o604, 0o620, 0o601] {
        chmod(folder.file(), refused);
        let shown = format!("{refused:04o}");
        let way_out = format!("`chmod 600 {}`", folder.file().display());
        assert_error(folder.try_open(), ErrorKind::Refused, &[&shown, &way_out]);
        assert_eq!(mode(folder.file()), refused);
    }
    chmod(folder.file(), 0o600);
    let store = folder.try_open().unwrap();
    // Later on, a loosened mode must not lose a token; the new file has the right one.
    chmod(folder.file(), 0o644);
    store.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(mode(folder.file()), 0o600);
}

#[tokio::test]
async fn only_a_regular_file_will_do() {
    let folder = Folder::new().saved(0).await;
    let elsewhere = folder.root.path().join("elsewhere");
    fs::rename(folder.file(), &elsewhere).unwrap();
    for target in [elsewhere.as_path(), Path::new("/nowhere/at/all")] {
        symlink(target, folder.file()).unwrap();
        assert_error(folder.try_open(), ErrorKind::Refused, &["symbolic link"]);
        fs::remove_file(folder.file()).unwrap();
    }
    fs::create_dir(folder.file()).unwrap();
    assert_error(folder.try_open(), ErrorKind::Refused, &["regular file"]);
    fs::remove_dir(folder.file()).unwrap();
    let pipe = Command::new("mkfifo")
        .arg("-m600")
        .arg(folder.file())
        .status();
    assert!(pipe.unwrap().success());
    assert_error(folder.try_open(), ErrorKind::Refused, &["regular file"]);
}

#[tokio::test]
async fn the_folder_may_be_reached_through_a_link() {
    let mut folder = Folder::new().saved(0).await;
    let link = folder.root.path().join("link");
    symlink(folder.file().parent().unwrap(), &link).unwrap();
    folder.settings.path = link.join("crm.grant");
    let store = folder.try_open().unwrap();
    // Where the link points later on makes no difference.
    fs::remove_file(&link).unwrap();
    store.save(&full(1), Some(0)).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_is_removed_and_never_taken_for_the_record() {
    let folder = Folder::new().saved(0).await;
    let left = folder.beside(".crm.grant.tmp");
    fs::write(&left, "half a rec").unwrap();
    let store = folder.try_open().unwrap();
    assert!(!left.exists());
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
    fs::write(&left, "half a rec").unwrap();
    store.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(folder.names(), ["crm.grant", "crm.grant.lock"]);
}

#[tokio::test]
async fn a_temporary_that_cannot_be_made_is_found_at_open_and_harms_nothing() {
    let folder = Folder::new().saved(0).await;
    let store = folder.try_open().unwrap();
    fs::create_dir(folder.beside(".crm.grant.tmp")).unwrap();
    let result = store.save(&full(1), Some(0)).await;
    assert_error(result, ErrorKind::Away, &["cannot be written"]);
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
    drop(store);
    assert_error(folder.try_open(), ErrorKind::Away, &["cannot be written"]);
    fs::remove_dir(folder.beside(".crm.grant.tmp")).unwrap();
    folder.try_open().unwrap();
}

#[tokio::test]
async fn a_second_store_in_this_process_is_kept_out() {
    let folder = Folder::new().saved(0).await;
    let store = folder.try_open().unwrap();
    let us = format!("process {} holds", std::process::id());
    assert_error(folder.try_open(), ErrorKind::Held, &[&us, "crm.grant.lock"]);
    drop(store);
    folder.try_open().unwrap();
}

#[tokio::test]
async fn a_process_holds_its_grant_until_it_dies_however_it_dies() {
    let folder = Folder::new().saved(3).await;
    let mut child = spawn_child("hold", &folder);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("held")));

    let holder = format!("process {} holds", child.id());
    assert_error(folder.try_open(), ErrorKind::Held, &[&holder]);
    let settings = config::Store::File(folder.settings.clone());
    let peeked = super::peek(&settings, &grant("crm")).await.unwrap();
    assert_eq!(peeked, Some(full(3)));

    child.kill().unwrap();
    child.wait().unwrap();
    folder.try_open().unwrap();
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_record_whole() {
    for folder in [Folder::new(), Folder::sealed()] {
        let folder = folder.saved(0).await;
        let child = spawn_child("fill", &folder);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("filled"), "{said}");
    }
}

fn spawn_child(task: &str, folder: &Folder) -> Child {
    let settings = serde_json::to_string(&folder.settings).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child", "--ignored", "--nocapture"])
        .env(CHILD, format!("{task} {settings}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the two tests above run in a process of its own.
#[tokio::test]
#[ignore = "it is the child of other tests"]
async fn child() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let (task, settings) = task.split_once(' ').unwrap();
    let settings = serde_json::from_str(settings).unwrap();
    let store = FileStore::open(&settings, &grant("crm")).unwrap();
    match task {
        "hold" => {
            writeln!(std::io::stdout(), "held").unwrap();
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        "fill" => {
            fill(&store, &settings).await;
            writeln!(std::io::stdout(), "filled").unwrap();
        }
        other => panic!("{other} is no task"),
    }
}

/// Saves under a limit of the size of files, which fails in the middle of a write as a full disk
/// does, without a file system of its own.
async fn fill(store: &FileStore, settings: &config::FileStore) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use tokio::signal::unix::{SignalKind, signal};
    // 25 is SIGXFSZ on Linux. It would end the process; once it is caught, the write fails.
    let _caught = signal(SignalKind::from_raw(25)).unwrap();
    let limit = Rlimit {
        current: Some(8 << 10),
        maximum: None,
    };
    setrlimit(Resource::Fsize, limit).unwrap();

    let before = fs::read(&settings.path).unwrap();
    let mut large = full(1);
    let blob = "x".repeat(64 << 10);
    large.captured.insert(String::from("blob"), blob.into());
    for _ in 0..3 {
        let result = store.save(&large, Some(0)).await;
        assert_error(result, ErrorKind::Away, &["cannot be written", "make room"]);
        assert_eq!(fs::read(&settings.path).unwrap(), before);
        assert!(!settings.path.with_file_name(".crm.grant.tmp").exists());
    }
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
    store.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(full(1)));
}

#[tokio::test]
async fn a_truncated_file_is_unreadable_at_every_length_and_never_replaced() {
    for folder in [Folder::new(), Folder::sealed()] {
        let folder = folder.saved(0).await;
        let whole = fs::read(folder.file()).unwrap();
        let store = folder.try_open().unwrap();
        for length in 0..whole.len() {
            fs::write(folder.file(), &whole[..length]).unwrap();
            let loaded = store.load().await;
            assert_error(loaded, ErrorKind::Unreadable, &["nothing was changed"]);
            let saved = store.save(&full(1), None).await;
            assert_error(saved, ErrorKind::Unreadable, &["nothing was changed"]);
            let saved = store.save(&full(1), Some(0)).await;
            assert_error(saved, ErrorKind::Unreadable, &["nothing was changed"]);
            assert_eq!(fs::read(folder.file()).unwrap(), &whole[..length]);
        }
        drop(store);
        assert_error(folder.try_open(), ErrorKind::Unreadable, &["it breaks off"]);
        fs::write(folder.file(), "").unwrap();
        assert_error(folder.try_open(), ErrorKind::Unreadable, &["it is empty"]);
        assert_eq!(fs::read(folder.file()).unwrap(), b"");
    }
}

#[tokio::test]
async fn a_sealed_file_shows_every_flipped_bit() {
    let folder = Folder::sealed().saved(7).await;
    let codec = Codec {
        engine: "file",
        grant: grant("crm"),
        keys: Keys::read(folder.settings.key.as_ref(), &[]).unwrap(),
    };
    let whole = fs::read(folder.file()).unwrap();
    let decoded = codec.decode(&Secret::new(whole.clone()));
    assert_eq!(decoded.unwrap().record, full(7));
    for place in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[place / 8] ^= 1 << (place % 8);
        let decoded = codec.decode(&Secret::new(flipped));
        assert!(decoded.is_err(), "bit {place}");
    }
}

#[tokio::test]
async fn what_is_not_this_grants_record_is_unreadable_and_says_why() {
    let folder = Folder::new().saved(0).await;
    let whole = folder.text();
    let schema = whole.replace(r#""schema":1"#, r#""schema":2"#);
    let record = whole.split_once(r#""record":"#).unwrap().1;
    let twice = whole.replacen('{', r#"{"grant":"crm","#, 1);
    let large = format!("{whole}{}", " ".repeat(LARGEST));
    let cases = [
        ("never shown", "it is not JSON"),
        ("17", "of the wrong kind"),
        ("{}", "a member is missing"),
        ("\"never shown\"", "of the wrong kind"),
        (r#"{"access_token": "never shown"}"#, "a member is missing"),
        (record.trim_end_matches('}'), "breaks off"),
        (
            &whole.replace("\"crm\"", "\"erp\""),
            "belongs to the grant `erp`",
        ),
        (
            &whole.replace(r#""bearward":1"#, r#""bearward":2"#),
            "newer one",
        ),
        (&schema, "form 2"),
        (
            &whole.replacen(r#""generation":0"#, r#""generation":1"#, 1),
            "two generations",
        ),
        (
            &whole.replace(r#""refresh_token""#, r#""refresh""#),
            "a member is missing",
        ),
        (
            &whole.replace(r#""record""#, r#""recorded""#),
            "neither plain nor sealed",
        ),
        (&twice, "of the wrong kind"),
        (&format!("{whole}{whole}"), "it is not JSON"),
        (&large, "larger than 4 MiB"),
    ];
    for (text, why) in cases {
        fs::write(folder.file(), text).unwrap();
        assert_error(folder.try_open(), ErrorKind::Unreadable, &[why]);
        assert_eq!(folder.text(), text);
    }
}

#[tokio::test]
async fn members_of_the_envelope_that_nobody_knows_are_kept() {
    let folder = Folder::new().saved(0).await;
    let text = folder.text().replacen('{', r#"{"later":[1,"two"],"#, 1);
    fs::write(folder.file(), text).unwrap();
    let key = folder.key("one");
    let folder = folder.with_keys(Some(&key), &[]);
    let store = folder.try_open().unwrap();
    store.save(&full(1), Some(0)).await.unwrap();
    assert!(folder.text().contains(r#""later":[1,"two"]"#));
    assert_eq!(store.load().await.unwrap(), Some(full(1)));
}

#[tokio::test]
async fn a_record_too_large_to_be_read_again_is_not_written() {
    let folder = Folder::new().saved(0).await;
    let store = folder.try_open().unwrap();
    let mut large = full(1);
    let blob = "x".repeat(LARGEST);
    large.captured.insert(String::from("blob"), blob.into());
    let result = store.save(&large, Some(0)).await;
    assert_error(result, ErrorKind::Refused, &["larger than 4 MiB"]);
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
}

#[tokio::test]
async fn keys_are_taken_up_at_the_next_save() {
    let folder = Folder::new().saved(0).await;
    let (one, two) = (folder.key("one"), folder.key("two"));
    assert!(folder.text().contains("never shown"));
    let steps: [(Option<&Source>, &[&Source]); 4] = [
        (Some(&one), &[]),
        (Some(&two), &[&one]),
        (Some(&one), &[&two]),
        (None, &[&two, &one]),
    ];
    let mut folder = folder;
    for (generation, (key, old)) in (0..).zip(steps) {
        let before = folder.text();
        folder = folder.with_keys(key, old);
        let store = folder.try_open().unwrap();
        assert_eq!(store.load().await.unwrap(), Some(full(generation)));
        assert_eq!(folder.text(), before);
        let next = generation + 1;
        store.save(&full(next), Some(generation)).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(full(next)));
        let keys = Keys::read(key, &[]).unwrap();
        let text = folder.text();
        assert_eq!(text.contains("never shown"), key.is_none());
        assert!(keys.ids().iter().all(|id| text.contains(id)), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_key_opens_nothing_and_replaces_nothing() {
    let folder = Folder::sealed().saved(0).await;
    let right = folder.settings.key.clone().unwrap();
    let wrong = folder.key("wrong");
    let ids = |key: &Source| Keys::read(Some(key), &[]).unwrap().ids().concat();
    let sealed = folder.text();
    let folder = folder.with_keys(Some(&wrong), &[]);
    let words = [ids(&right), ids(&wrong), String::from("`old_keys`")];
    assert_error(
        folder.try_open(),
        ErrorKind::Unreadable,
        &words.each_ref().map(String::as_str),
    );
    let folder = folder.with_keys(None, &[]);
    assert_error(
        folder.try_open(),
        ErrorKind::Unreadable,
        &["no key is configured"],
    );
    assert_eq!(folder.text(), sealed);
}

#[test]
fn a_key_that_is_none_is_refused_by_its_source() {
    let folder = Folder::new();
    let path = folder.root.path().join("key");
    let key = Source::File(path.clone());
    let folder = folder.with_keys(Some(&key), &[]);
    assert_error(folder.try_open(), ErrorKind::Refused, &["cannot be read"]);
    fs::write(&path, "never shown").unwrap();
    let words = ["bearward keygen", "bearward-key-1:", "/key"];
    assert_error(folder.try_open(), ErrorKind::Refused, &words);
}

#[tokio::test]
async fn a_sealed_record_is_bound_to_its_grant_and_generation() {
    let folder = Folder::sealed().saved(0).await;
    let other = FileStore::open(&folder.settings, &grant("erp"));
    assert_error(other, ErrorKind::Unreadable, &["grant `crm`"]);
    for (from, to) in [
        (r#""crm""#, r#""erp""#),
        (r#""generation":0"#, r#""generation":1"#),
    ] {
        let forged = Folder::new().with_keys(folder.settings.key.as_ref(), &[]);
        fs::create_dir(forged.file().parent().unwrap()).unwrap();
        fs::write(forged.file(), folder.text().replace(from, to)).unwrap();
        chmod(forged.file(), 0o600);
        chmod(forged.file().parent().unwrap(), 0o700);
        let name = if to.contains("erp") { "erp" } else { "crm" };
        let opened = FileStore::open(&forged.settings, &grant(name));
        assert_error(opened, ErrorKind::Unreadable, &["its seal is broken"]);
    }
}

#[tokio::test]
async fn whoever_peeks_sees_a_whole_record_at_any_moment() {
    let folder = Folder::sealed();
    let settings = config::Store::File(folder.settings.clone());
    let crm = grant("crm");
    assert_eq!(super::peek(&settings, &crm).await.unwrap(), None);
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let store = super::open(&settings, &crm, &metrics).await.unwrap();
    let writer = tokio::spawn(async move {
        let mut stored = None;
        for generation in 0..50 {
            store.save(&full(generation), stored).await.unwrap();
            stored = Some(generation);
        }
    });
    let mut last = 0;
    while !writer.is_finished() {
        if let Some(record) = super::peek(&settings, &crm).await.unwrap() {
            assert!(record.generation >= last);
            last = record.generation;
            assert_eq!(record, full(last));
        }
    }
    writer.await.unwrap();
    assert_eq!(super::peek(&settings, &crm).await.unwrap(), Some(full(49)));
}

#[tokio::test]
async fn a_save_outlives_whoever_asked_for_it_and_keeps_the_lock_as_long() {
    let folder = Folder::sealed();
    for generation in 0..20 {
        let store = folder.try_open().unwrap();
        let record = full(generation);
        let mut save = store.save(&record, generation.checked_sub(1));
        let mut context = Context::from_waker(Waker::noop());
        let _ = save.as_mut().poll(&mut context);
        drop(save);
        drop(store);
        let settings = config::Store::File(folder.settings.clone());
        while folder
            .try_open()
            .is_err_and(|error| error.kind == ErrorKind::Held)
        {
            tokio::task::yield_now().await;
        }
        let saved = super::peek(&settings, &grant("crm")).await.unwrap();
        assert_eq!(saved, Some(record));
    }
}

#[tokio::test]
async fn every_read_write_and_claim_is_counted_with_its_trouble() {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let memory = Memory::default();
    let store = Measured::new(memory.clone(), &grant("crm"), &metrics);
    store.save(&full(0), None).await.unwrap();
    memory.fail_save(Trouble::Before(ErrorKind::Away));
    memory.fail_save(Trouble::After(ErrorKind::Away));
    memory.fail_load(ErrorKind::Unreadable);
    assert!(store.save(&full(1), Some(0)).await.is_err());
    assert_eq!(memory.record(), Some(full(0)));
    assert!(store.save(&full(1), Some(0)).await.is_err());
    assert_eq!(memory.record(), Some(full(1)));
    assert!(store.load().await.is_err());
    assert!(store.load().await.is_ok());

    let (one, two) = (Holder::named("one"), Holder::named("two"));
    let ttl = Duration::from_secs(60);
    let Claim::Taken(lease) = store.claim(&one, ttl).await.unwrap() else {
        panic!("nobody else has it");
    };
    store.claim(&two, ttl).await.unwrap();
    memory.fail_claim(Trouble::After(ErrorKind::Away));
    assert!(store.claim(&one, ttl).await.is_err());
    store.release(&lease).await.unwrap();
    memory.part();
    assert!(store.release(&lease).await.is_err());
    memory.join();

    let text = prometheus::TextEncoder::new();
    let text = text.encode_to_string(&registry.gather()).unwrap();
    for line in [
        r#"bearward_store_reads_total{grant="crm"} 2"#,
        r#"bearward_store_read_failures_total{grant="crm",reason="unreadable"} 1"#,
        r#"bearward_store_writes_total{grant="crm"} 3"#,
        r#"bearward_store_write_failures_total{grant="crm",reason="away"} 2"#,
        r#"bearward_store_write_failures_total{grant="crm",reason="conflict"} 0"#,
        r#"bearward_store_write_duration_seconds_count{grant="crm"} 3"#,
        r#"bearward_store_read_duration_seconds_count{grant="crm"} 2"#,
        r#"bearward_store_claims_total{grant="crm",outcome="taken"} 1"#,
        r#"bearward_store_claims_total{grant="crm",outcome="held"} 1"#,
        r#"bearward_store_claims_total{grant="crm",outcome="released"} 1"#,
        r#"bearward_store_claims_total{grant="crm",outcome="failed"} 2"#,
        r#"bearward_store_claim_failures_total{grant="crm",reason="away"} 2"#,
        r#"bearward_store_claim_duration_seconds_count{grant="crm"} 5"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn the_memory_store_can_be_held_and_changed_behind_ones_back() {
    let memory = Memory::default();
    let held = memory.hold_saves().await;
    let record = full(0);
    let mut save = memory.save(&record, None);
    let mut context = Context::from_waker(Waker::noop());
    assert!(save.as_mut().poll(&mut context).is_pending());
    assert_eq!(memory.saved(), []);
    drop(held);
    save.await.unwrap();
    assert_eq!(memory.saved(), [full(0)]);
    memory.put(full(9));
    let result = memory.save(&full(1), Some(0)).await;
    assert_error(
        result,
        ErrorKind::Conflict,
        &["generation 9", "generation 0"],
    );
}
