//! The contract over real Redis servers, and what happens when they are in trouble.

mod server;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use self::server::{Authority, Server};
use super::RedisStore;
use crate::config::{self, GrantName, Period, Sentinel, Source, StoreKey};
use crate::store::contract::shared::{SharedShelf, shared_contract};
use crate::store::contract::{Shelf, chain, full};
use crate::store::{Claim, Error, ErrorKind, Holder, Key, Lease, Store, Unknown};

shared_contract!(in_redis, Place::new());
shared_contract!(sealed_over_tls, Place::secured());

/// Long enough for a busy machine.
const PATIENT: Duration = Duration::from_secs(20);
/// What is waited where nothing is going to come.
const BRIEF: Duration = Duration::from_millis(150);
const TTL: Duration = Duration::from_secs(60);

/// A server, and settings that lead to it.
struct Place {
    server: Server,
    settings: config::RedisStore,
    files: TempDir,
    /// Kept for its files.
    authority: Option<Authority>,
}

impl Place {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(arguments: &[&str]) -> Self {
        Self::at(Server::start(arguments))
    }

    fn at(server: Server) -> Self {
        let settings = settings(Some(server.url()));
        Self {
            server,
            settings,
            files: tempfile::tempdir().unwrap(),
            authority: None,
        }
    }

    /// Sealed, over mutual TLS, as a user who may do nothing else.
    fn secured() -> Self {
        let authority = Authority::new();
        let mut server = Server::secured(&authority, &[]);
        server.database = 3;
        let mut place = Self::at(server);
        place.restrict("hunter2");
        let port = place.server.tls_port.unwrap();
        place.settings.url = Some(format!("rediss://127.0.0.1:{port}/3").parse().unwrap());
        place.settings.tls = authority.settings();
        place.settings.key = StoreKey::Of(place.key("one"));
        place.authority = Some(authority);
        place
    }

    /// Lets only a user in who may do what the README says, with this password.
    fn restrict(&mut self, password: &str) {
        let rights = "resetkeys ~bearward:* resetchannels -@all +eval +hget +hmget +hset +hdel \
                      +hstrlen +time +select +wait +role";
        self.server
            .tell(&format!("ACL SETUSER bear reset on >{password} {rights}"));
        self.settings.username = Some(String::from("bear"));
        self.settings.password = Some(self.file("password", password));
    }

    fn file(&self, name: &str, text: &str) -> Source {
        let path = self.files.path().join(name);
        fs::write(&path, text).unwrap();
        Source::File(path)
    }

    fn key(&self, name: &str) -> Source {
        self.file(name, Key::generate().unwrap().text().expose())
    }

    fn store(&self) -> RedisStore {
        RedisStore::open(&self.settings, &grant("crm")).unwrap()
    }

    /// A store that does not wait for long.
    fn brief_store(&self) -> RedisStore {
        let settings = config::RedisStore {
            timeout: period(BRIEF),
            ..self.settings.clone()
        };
        RedisStore::open(&settings, &grant("crm")).unwrap()
    }

    /// What stands in a field of the hash.
    fn field(&self, name: &str) -> String {
        self.server.hear(&format!("HGET bearward:crm {name}"))
    }
}

impl Shelf for Place {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store())
    }
}

impl SharedShelf for Place {
    async fn pass(&self, time: Duration) {
        sleep(time).await;
    }
}

fn settings(url: Option<config::RedisUrl>) -> config::RedisStore {
    config::RedisStore {
        url,
        cluster: Vec::new(),
        sentinel: None,
        username: None,
        password: None,
        prefix: String::from("bearward:"),
        key: StoreKey::None,
        old_keys: Vec::new(),
        timeout: period(PATIENT),
        replicas: 0,
        allow_plaintext: false,
        tls: config::Tls::default(),
    }
}

fn period(time: Duration) -> Period {
    format!("{}ms", time.as_millis()).parse().unwrap()
}

fn grant(name: &str) -> GrantName {
    name.parse().unwrap()
}

fn holder(name: &str) -> Holder {
    Holder::named(name)
}

async fn taken(store: &RedisStore, holder: &Holder, ttl: Duration) -> Lease {
    match store.claim(holder, ttl).await.unwrap() {
        Claim::Taken(lease) => lease,
        Claim::Held { by, .. } => panic!("{by} has it"),
    }
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
    for secret in ["never shown", "hunter2"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// Saves until it works, over the connection of this very store.
async fn saved_at_last(store: &RedisStore, generation: u64, stored: Option<u64>) {
    let end = Instant::now() + PATIENT;
    while let Err(error) = store.save(&full(generation), stored).await {
        assert!(Instant::now() < end, "{}", chain(&error));
    }
}

/// Waits for something that an engine does in its own time.
async fn until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENT;
    while !done() {
        assert!(Instant::now() < end, "it never comes");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn one_key_holds_all_and_shows_nothing_where_it_is_sealed() {
    let place = Place::secured();
    let store = place.store();
    store.save(&full(7), None).await.unwrap();
    taken(&store, &holder("one"), TTL).await;
    let keys: Vec<String> = redis::from_redis_value(place.server.tell("KEYS *")).unwrap();
    assert_eq!(keys, ["bearward:crm"]);
    let all = format!("{:?}", place.server.tell("HGETALL bearward:crm"));
    assert!(all.contains("sealed") && all.contains("holder"), "{all}");
    assert!(!all.contains("never shown"), "{all}");
    assert_eq!(place.server.tell("TTL bearward:crm"), redis::Value::Int(-1));
}

#[tokio::test]
async fn keys_are_taken_up_at_the_next_save_and_a_wrong_one_replaces_nothing() {
    let mut place = Place::new();
    place.store().save(&full(0), None).await.unwrap();
    assert!(place.field("record").contains("never shown"));
    let (one, two) = (place.key("one"), place.key("two"));
    let steps: [(StoreKey, &[&Source]); 3] = [
        (StoreKey::Of(one.clone()), &[]),
        (StoreKey::Of(two.clone()), &[&one]),
        (StoreKey::None, &[&two]),
    ];
    for (generation, (key, old)) in (0..).zip(steps) {
        place.settings.key = key.clone();
        place.settings.old_keys = old.iter().copied().cloned().collect();
        let store = place.store();
        assert_eq!(store.load().await.unwrap(), Some(full(generation)));
        let next = generation + 1;
        store.save(&full(next), Some(generation)).await.unwrap();
        let plain = place.field("record").contains("never shown");
        assert_eq!(plain, key == StoreKey::None);
    }
    place.settings.key = StoreKey::Of(one);
    place.store().save(&full(4), Some(3)).await.unwrap();
    let before = place.field("record");
    place.settings.key = StoreKey::Of(two);
    let store = place.store();
    assert_error(store.load().await, ErrorKind::Unreadable, &["`old_keys`"]);
    let saved = store.save(&full(5), Some(4)).await;
    assert_error(saved, ErrorKind::Unreadable, &["`old_keys`"]);
    assert_eq!(place.field("record"), before);
}

#[tokio::test]
async fn nobody_is_called_before_something_is_asked() {
    let mut place = Place::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    place.server.kill();
    let store = place.store();
    let here = format!("redis://127.0.0.1:{}", place.server.port);
    for _ in 0..2 {
        assert_error(store.load().await, ErrorKind::Away, &[&here, "refused"]);
        let claim = store.claim(&holder("one"), TTL).await;
        assert_error(claim, ErrorKind::Away, &[&here]);
    }
    place.server.again();
    store.save(&full(0), None).await.unwrap();
    place.server.kill();
    assert_error(
        store.save(&full(1), Some(0)).await,
        ErrorKind::Away,
        &[&here],
    );
    place.server.again();
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
    store.save(&full(1), Some(0)).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_was_closed_in_the_meantime_is_nobodys_trouble() {
    let place = Place::new();
    let store = place.store();
    let lease = taken(&store, &holder("one"), TTL).await;
    store.save(&full(0), None).await.unwrap();
    for generation in 0..3 {
        place.server.tell("CLIENT KILL TYPE normal");
        assert_eq!(store.load().await.unwrap(), Some(full(generation)));
        place.server.tell("CLIENT KILL TYPE normal");
        let next = generation + 1;
        store.save(&full(next), Some(generation)).await.unwrap();
        place.server.tell("CLIENT KILL TYPE normal");
        let renewed = taken(&store, &holder("one"), TTL).await;
        assert_eq!(renewed.fence, lease.fence);
    }
}

#[tokio::test]
async fn whatever_is_asked_of_a_stopped_engine_ends_in_time() {
    let place = Place::new();
    let (patient, brief) = (place.store(), place.brief_store());
    patient.save(&full(0), None).await.unwrap();
    brief.load().await.unwrap();
    place.server.pause();
    // First on the connection that stands, then on new ones.
    for _ in 0..2 {
        let words = ["no answer within 150ms", "redis://127.0.0.1"];
        assert_error(brief.load().await, ErrorKind::Away, &words);
        let claim = brief.claim(&holder("one"), TTL).await;
        assert_error(claim, ErrorKind::Away, &words);
        let saved = brief.save(&full(1), Some(0)).await;
        assert_error(saved, ErrorKind::Away, &words);
    }
    place.server.go_on();
    patient.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(patient.load().await.unwrap(), Some(full(1)));
}

#[tokio::test]
async fn a_save_that_arrives_late_can_be_repeated() {
    let place = Place::new();
    let (patient, brief) = (place.store(), place.brief_store());
    saved_at_last(&brief, 0, None).await;
    place.server.pause();
    let bytes = brief.codec.encode(&full(1), &Unknown::default()).unwrap();
    let late = brief.swap(Some(0), 1, &bytes).await;
    assert_error(late, ErrorKind::Away, &[]);
    place.server.go_on();
    until(|| place.field("generation") == "1").await;
    patient.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(patient.load().await.unwrap(), Some(full(1)));
}

#[tokio::test]
async fn a_release_that_arrives_late_takes_nothing_away() {
    let place = Place::new();
    let (patient, brief) = (place.store(), place.brief_store());
    let (one, two) = (holder("one"), holder("two"));
    let first = loop {
        if let Ok(Claim::Taken(lease)) = brief.claim(&one, TTL).await {
            break lease;
        }
    };
    place.server.pause();
    assert_error(brief.release(&first).await, ErrorKind::Away, &[]);
    place.server.go_on();
    let second = loop {
        if let Ok(Claim::Taken(lease)) = brief.claim(&one, TTL).await {
            break lease;
        }
    };
    assert!(second.fence > first.fence);
    // Each of these is answered after whatever else has arrived.
    for _ in 0..5 {
        place.server.tell("PING");
    }
    let claim = patient.claim(&two, TTL).await.unwrap();
    assert!(matches!(claim, Claim::Held { by, .. } if by == "one"));
}

#[tokio::test]
async fn a_lost_key_is_a_conflict_and_the_fence_goes_on() {
    let place = Place::new();
    let store = place.store();
    store.save(&full(5), None).await.unwrap();
    let before = taken(&store, &holder("one"), TTL).await;
    place.server.tell("FLUSHALL");
    assert_eq!(store.load().await.unwrap(), None);
    assert_eq!(store.generation().await.unwrap(), None);
    let saved = store.save(&full(6), Some(5)).await;
    assert_error(saved, ErrorKind::Conflict, &["no record"]);
    store.release(&before).await.unwrap();
    let after = taken(&store, &holder("two"), TTL).await;
    assert!(after.fence > before.fence);
    store.save(&full(6), None).await.unwrap();
}

#[tokio::test]
async fn a_password_that_changed_is_taken_up_with_the_next_connection() {
    let mut place = Place::new();
    place.restrict("hunter2");
    let store = place.store();
    store.save(&full(0), None).await.unwrap();
    place.restrict("hunter22");
    place.file("password", "hunter2");
    place.server.tell("CLIENT KILL TYPE normal");
    let words = ["does not take the user name or the password", "WRONGPASS"];
    for _ in 0..2 {
        assert_error(store.load().await, ErrorKind::Refused, &words);
    }
    place.file("password", "hunter22\n");
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
    fs::remove_file(place.files.path().join("password")).unwrap();
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
    place.server.tell("CLIENT KILL TYPE normal");
    let words = ["the password for Redis cannot be had"];
    assert_error(store.load().await, ErrorKind::Refused, &words);
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_by_its_kind() {
    let cases: [(&[&str], ErrorKind, &[&str]); 8] = [
        (
            &["CONFIG SET requirepass hunter2"],
            ErrorKind::Refused,
            &["asks for a password", "`password`", "NOAUTH"],
        ),
        (
            &["ACL SETUSER default -eval"],
            ErrorKind::Refused,
            &["does not allow this user", "ACL", "NOPERM"],
        ),
        (
            &["ACL SETUSER default resetkeys ~other:*"],
            ErrorKind::Refused,
            &["does not allow this user", "NOPERM"],
        ),
        (
            &["REPLICAOF 127.0.0.1 1"],
            ErrorKind::Away,
            &["takes no writes", "name the primary", "READONLY"],
        ),
        (
            &[
                "CONFIG SET replica-serve-stale-data no",
                "REPLICAOF 127.0.0.1 1",
            ],
            ErrorKind::Away,
            &["lost its primary", "MASTERDOWN"],
        ),
        (
            &["CONFIG SET min-replicas-to-write 1"],
            ErrorKind::Away,
            &["lost its replicas", "NOREPLICAS"],
        ),
        (
            &["CONFIG SET maxmemory 1"],
            ErrorKind::Away,
            &["no memory left", "`maxmemory`", "OOM"],
        ),
        (
            &["DEL bearward:crm", "SET bearward:crm hunter2"],
            ErrorKind::Unreadable,
            &["something else under the key", "`prefix`", "WRONGTYPE"],
        ),
    ];
    for (orders, kind, words) in cases {
        let place = Place::new();
        let store = place.store();
        store.save(&full(0), None).await.unwrap();
        for order in orders {
            place.server.tell(order);
        }
        // A password is asked for with the next connection.
        let store = place.store();
        assert_error(store.save(&full(1), Some(0)).await, kind, words);
        let claim = store.claim(&holder("one"), TTL).await;
        assert_error(claim, kind, words);
    }
}

#[tokio::test]
async fn what_is_not_this_grants_record_is_unreadable_and_stays() {
    let place = Place::new();
    let store = place.store();
    store.save(&full(3), None).await.unwrap();
    let whole = place.field("record");
    let foreign = whole.replace("\"crm\"", "\"erp\"");
    let large = "x".repeat(5 << 20);
    let cases = [
        ("record", "never-shown", "it is not JSON"),
        (
            "record",
            &whole[..whole.len() / 2].replace(' ', ""),
            "breaks off",
        ),
        (
            "record",
            &foreign.replace(' ', ""),
            "belongs to the grant `erp`",
        ),
        ("record", &large, "larger than 4 MiB"),
        ("generation", "4", "two generations"),
        ("generation", "never-shown", "two generations"),
    ];
    for (field, value, why) in cases {
        place.server.tell("DEL bearward:crm");
        store.save(&full(3), None).await.unwrap();
        place
            .server
            .tell(&format!("HSET bearward:crm {field} {value}"));
        assert_error(store.load().await, ErrorKind::Unreadable, &[why]);
        for expected in [None, Some(3)] {
            let saved = store.save(&full(4), expected).await;
            assert_error(saved, ErrorKind::Unreadable, &[why]);
        }
        assert_eq!(place.field(field), value);
    }
    for field in ["record", "generation"] {
        place.server.tell("DEL bearward:crm");
        store.save(&full(3), None).await.unwrap();
        place.server.tell(&format!("HDEL bearward:crm {field}"));
        let words = ["a part of it is missing"];
        assert_error(store.load().await, ErrorKind::Unreadable, &words);
    }
}

#[tokio::test]
async fn a_record_counts_as_saved_when_the_replicas_have_it() {
    let mut place = Place::new();
    place.settings.replicas = 1;
    place.settings.timeout = period(Duration::from_secs(1));
    let store = place.store();
    let saved = store.save(&full(0), None).await;
    assert_error(
        saved,
        ErrorKind::Away,
        &["on 0 of 1 replicas", "`replicas`"],
    );
    // It is there all the same, and saving it again does not make it safe.
    let saved = store.save(&full(0), None).await;
    assert_error(saved, ErrorKind::Away, &["on 0 of 1 replicas"]);

    let follow = format!("--replicaof 127.0.0.1 {}", place.server.port);
    let follow: Vec<_> = follow.split(' ').collect();
    let replica = Server::start(&[follow[0], &follow[1..].join(" ")]);
    place.server.tell("CONFIG SET repl-diskless-sync-delay 0");
    until(|| {
        replica
            .hear("INFO replication")
            .contains("master_link_status:up")
    })
    .await;
    saved_at_last(&store, 0, None).await;
    assert_eq!(replica.hear("HGET bearward:crm generation"), "0");
    replica.pause();
    let saved = store.save(&full(1), Some(0)).await;
    assert_error(saved, ErrorKind::Away, &["on 0 of 1 replicas"]);
    replica.go_on();
    saved_at_last(&store, 1, Some(0)).await;
    assert_eq!(replica.hear("HGET bearward:crm generation"), "1");
}

#[tokio::test]
async fn a_cluster_leads_to_the_node_that_has_the_key() {
    let nodes = cluster().await;
    let mut settings = settings(None);
    settings.cluster = vec!["redis://127.0.0.1:1".parse().unwrap(), nodes[0].url()];
    let (mut here, mut there) = (0, 0);
    for name in ["crm", "erp", "hr", "shop", "wiki"] {
        let store = RedisStore::open(&settings, &grant(name)).unwrap();
        store.save(&full(0), None).await.unwrap();
        taken(&store, &holder("one"), TTL).await;
        let again = RedisStore::open(&settings, &grant(name)).unwrap();
        assert_eq!(again.generation().await.unwrap(), Some(0));
        match nodes[0].try_tell(&format!("HGET bearward:{name} generation")) {
            Ok(_) => here += 1,
            Err(_) => there += 1,
        }
    }
    assert!(here > 0 && there > 0, "{here} here, {there} there");
}

#[tokio::test]
async fn a_key_on_its_way_to_another_node_is_found() {
    let nodes = cluster().await;
    let mut settings = settings(None);
    settings.cluster = vec![nodes[0].url()];
    let store = RedisStore::open(&settings, &grant("crm")).unwrap();
    let slot: u16 = redis::from_redis_value(nodes[0].tell("CLUSTER KEYSLOT bearward:crm")).unwrap();
    let (from, to) = if slot < 8192 { (0, 1) } else { (1, 0) };
    let (from, to) = (&nodes[from], &nodes[to]);
    let (from_id, to_id) = (from.hear("CLUSTER MYID"), to.hear("CLUSTER MYID"));
    to.tell(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    from.tell(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    store.save(&full(0), None).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
    for node in [to, from] {
        node.tell(&format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
    }
    store.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(to.hear("HGET bearward:crm generation"), "1");
}

/// Two nodes with half of the slots each, that know each other.
async fn cluster() -> [Server; 2] {
    let node = || Server::start(&["--cluster-enabled", "yes"]);
    let nodes = [node(), node()];
    nodes[0].tell("CLUSTER ADDSLOTSRANGE 0 8191");
    nodes[1].tell("CLUSTER ADDSLOTSRANGE 8192 16383");
    nodes[0].tell(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[1].port));
    for node in &nodes {
        until(|| node.hear("CLUSTER INFO").contains("cluster_state:ok")).await;
    }
    nodes
}

#[tokio::test]
async fn sentinels_lead_to_whoever_is_primary_now() {
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    let watcher = Server::start(&["sentinel"]);
    let name = |server: &Server| {
        watcher.tell(&format!(
            "SENTINEL MONITOR main 127.0.0.1 {} 1",
            server.port
        ));
    };
    name(&one);
    let mut settings = settings(None);
    settings.sentinel = Some(Sentinel {
        master: String::from("main"),
        urls: vec!["redis://127.0.0.1:1".parse().unwrap(), watcher.url()],
        username: None,
        password: None,
    });
    let store = RedisStore::open(&settings, &grant("crm")).unwrap();
    store.save(&full(0), None).await.unwrap();
    assert_eq!(one.hear("HGET bearward:crm generation"), "0");

    // The roles change, and nobody says so to those who are connected.
    two.tell(&format!("REPLICAOF 127.0.0.1 {}", one.port));
    one.tell("CONFIG SET repl-diskless-sync-delay 0");
    until(|| {
        two.hear("INFO replication")
            .contains("master_link_status:up")
    })
    .await;
    two.tell("REPLICAOF NO ONE");
    watcher.tell("SENTINEL REMOVE main");
    one.tell(&format!("REPLICAOF 127.0.0.1 {}", two.port));
    assert_error(
        store.save(&full(1), Some(0)).await,
        ErrorKind::Away,
        &["knows no primary `main`", "`sentinel.master`"],
    );
    name(&one);
    let saved = store.save(&full(1), Some(0)).await;
    assert_error(saved, ErrorKind::Away, &["no primary any more"]);
    watcher.tell("SENTINEL REMOVE main");
    name(&two);
    store.save(&full(1), Some(0)).await.unwrap();
    assert_eq!(two.hear("HGET bearward:crm generation"), "1");
}

#[tokio::test]
async fn whoever_cannot_prove_its_name_learns_nothing() {
    let mut place = Place::secured();
    place.store().load().await.unwrap();
    let url = place.settings.url.clone();

    place.settings.tls.server_name = Some(String::from("other.example.com"));
    assert_error(
        place.store().load().await,
        ErrorKind::Away,
        &["cannot be reached"],
    );
    place.settings.tls.server_name = Some(String::from("server.example.com"));
    place.store().load().await.unwrap();

    let stranger = Authority::new();
    place.settings.tls.ca = stranger.settings().ca;
    assert!(place.authority.is_some());
    assert_error(
        place.store().load().await,
        ErrorKind::Away,
        &["cannot be reached"],
    );

    place.settings.tls.ca = Some(PathBuf::from("/nowhere/ca.pem"));
    let opened = RedisStore::open(&place.settings, &grant("crm"));
    assert_error(
        opened,
        ErrorKind::Refused,
        &["TLS towards Redis", "/nowhere/ca.pem"],
    );

    // TLS is spoken there, and nothing else.
    let port = url.and_then(|url| url.port()).unwrap();
    place.settings.tls = config::Tls::default();
    place.settings.url = Some(format!("redis://127.0.0.1:{port}").parse().unwrap());
    assert_error(
        place.store().load().await,
        ErrorKind::Away,
        &["redis://127.0.0.1"],
    );
}

#[tokio::test]
async fn what_is_no_redis_is_away_and_is_not_repeated_in_the_log() {
    let answers: [&[u8]; 6] = [
        b"HTTP/1.1 400 hunter2\r\n\r\n",
        b"*2\r\n$1\r\n4\r\n$1000\r\nhunter2",
        b"+OK hunter2\r\n",
        b"*3\r\n:1\r\n:2\r\n:3\r\n",
        b"-ERR unknown command 'EVAL', with args beginning with: 'hunter2'\r\n",
        b"",
    ];
    for answer in answers {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(answering(listener, answer));
        let url = format!("redis://127.0.0.1:{port}").parse().unwrap();
        let store = RedisStore::open(&settings(Some(url)), &grant("crm")).unwrap();
        assert_error(store.load().await, ErrorKind::Away, &[]);
        let claim = store.claim(&holder("one"), TTL).await;
        assert_error(claim, ErrorKind::Away, &[]);
        server.abort();
    }
}

/// Answers whatever comes with the same, once for each connection.
async fn answering(listener: tokio::net::TcpListener, answer: &'static [u8]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    loop {
        let (mut wire, _) = listener.accept().await.unwrap();
        let _ = wire.read(&mut [0; 4096]).await;
        let _ = wire.write_all(answer).await;
    }
}
