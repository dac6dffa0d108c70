//! What others do to the objects, and what befalls calls.

use serde_json::json;

use super::*;

#[tokio::test]
async fn what_else_is_in_the_objects_is_kept() {
    let cluster = Cluster::new().await.sealed();
    let more = json!({
        "metadata": { "labels": { "app": "crm" }, "annotations": { "owner": "team" } },
        "data": { "other": "b3RoZXI=" },
        "type": "Opaque",
    });
    cluster.server.merge("secrets/crm", &more);
    cluster
        .server
        .merge("leases/crm", &json!({ "spec": { "strategy": "kept" } }));
    let store = cluster.store();
    store.save(&full(0), None).await.unwrap();
    let Claim::Taken(lease) = store
        .claim(&holder(), Duration::from_secs(15))
        .await
        .unwrap()
    else {
        panic!("nobody has it");
    };
    store.release(&lease).await.unwrap();
    let secret = cluster.secret();
    assert_eq!(secret["metadata"]["labels"]["app"], "crm");
    assert_eq!(secret["metadata"]["annotations"]["owner"], "team");
    assert_eq!(
        (&secret["data"]["other"], &secret["type"]),
        (&json!("b3RoZXI="), &json!("Opaque"))
    );
    let spec = &cluster.server.object("leases/crm")["spec"];
    assert_eq!(
        (&spec["strategy"], &spec["holderIdentity"]),
        (&json!("kept"), &json!(""))
    );
    assert_eq!(spec["leaseTransitions"], 1);
    assert!(!secret.to_string().contains("rt-0f9c"));
}

#[tokio::test]
async fn somebody_elses_label_in_between_only_costs_a_second_round() {
    let cluster = Cluster::new().await;
    let store = cluster.store();
    let gate = Gate::closed();
    cluster.server.next(Reply::regular().hold(&gate));
    let meddling = async {
        gate.reached_by(1).await;
        let label = json!({ "metadata": { "labels": { "seen": "yes" } } });
        cluster.server.merge("secrets/crm", &label);
        gate.open();
    };
    let record = full(0);
    let (saved, ()) = tokio::join!(store.save(&record, None), meddling);
    saved.unwrap();
    let asked: Vec<_> = cluster
        .server
        .asked()
        .all()
        .iter()
        .map(|asked| (asked.verb, asked.status))
        .collect();
    assert_eq!(
        asked,
        [("get", 200), ("patch", 409), ("get", 200), ("patch", 200)]
    );
    assert_eq!(cluster.secret()["metadata"]["labels"]["seen"], "yes");
    assert_eq!(store.load().await.unwrap(), Some(record));
}

#[tokio::test]
async fn somebody_elses_record_in_between_is_not_overwritten() {
    let cluster = Cluster::new().await;
    let (here, there) = (cluster.store(), cluster.store());
    let gate = Gate::closed();
    cluster.server.next(Reply::regular().hold(&gate));
    let faster = async {
        gate.reached_by(1).await;
        there.save(&full(7), None).await.unwrap();
        gate.open();
    };
    let record = full(0);
    let (saved, ()) = tokio::join!(here.save(&record, None), faster);
    assert_eq!(saved.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(here.load().await.unwrap(), Some(full(7)));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_can_be_repeated() {
    for (lost, arrived) in [
        (Reply::hang_up(), false),
        (Reply::hang_up().after_commit(), true),
        (Reply::status(500), false),
        (Reply::status(504).after_commit(), true),
    ] {
        let cluster = Cluster::new().await;
        let store = cluster.store();
        cluster.server.next(Reply::regular());
        cluster.server.next(lost.clone());
        let error = store.save(&full(0), None).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Away, "{error}");
        assert_eq!(cluster.secret()["data"]["grant"].is_string(), arrived);
        store.save(&full(0), None).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(full(0)));

        cluster.server.next(Reply::regular());
        cluster.server.next(lost);
        let ttl = Duration::from_secs(15);
        let error = store.claim(&holder(), ttl).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Away, "{error}");
        let Claim::Taken(lease) = store.claim(&holder(), ttl).await.unwrap() else {
            panic!("nobody else wants it");
        };
        assert_eq!(lease.fence, 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_after_its_status_is_a_save() {
    let cluster = Cluster::new().await;
    let store = cluster.store();
    cluster.server.next(Reply::regular());
    cluster.server.next(Reply::regular().cut_after(3));
    store.save(&full(0), None).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
}

const STRANGE: &str = "what answers is no Kubernetes API server";
const BROKE: &str = "the connection to the Kubernetes API server broke";
const BUSY: &str = "the Kubernetes API server is overloaded";
const NOT_ALLOWED: &str = "we may not get the Secret `practice/crm`";
const NOT_THERE: &str = "there is no Secret `practice/crm`";
const NOT_DONE: &str = "the Kubernetes API server does not get the Secret `practice/crm`";
const TROUBLE: &str = "the Kubernetes API server is in trouble";
const SLOW: &str = "the Kubernetes API server gave no answer within 2s";

/// What is answered, what kind of trouble that is, and what is said of it.
fn answers() -> Vec<(Reply, ErrorKind, &'static str)> {
    let (away, refused) = (ErrorKind::Away, ErrorKind::Refused);
    let status = |code, reason: &str| {
        let status = json!({ "kind": "Status", "reason": reason, "message": "hunter2" });
        Reply::json(code, &status)
    };
    let object = |metadata: Value| Reply::json(200, &json!({ "metadata": metadata }));
    let busy = status(429, "TooManyRequests");
    vec![
        (status(403, "Forbidden"), refused, NOT_ALLOWED),
        (status(404, "NotFound"), refused, NOT_THERE),
        (status(422, "Invalid"), refused, NOT_DONE),
        (busy.clone(), away, BUSY),
        (busy.header("retry-after", "3600"), away, BUSY),
        (status(503, ""), away, TROUBLE),
        (Reply::html(404), away, STRANGE),
        (Reply::html(200), away, STRANGE),
        (object(json!({})), away, STRANGE),
        (object(json!({ "resourceVersion": "" })), away, STRANGE),
        (
            Reply::redirect(302, "https://elsewhere.example"),
            away,
            STRANGE,
        ),
        (Reply::regular().cut_after(9), away, BROKE),
        (Reply::hang_up(), away, BROKE),
        (Reply::silence(), away, SLOW),
    ]
}

#[tokio::test]
async fn every_trouble_has_its_kind_and_its_words() {
    let cluster = Cluster::new().await.within("2s");
    let store = cluster.store();
    for (reply, kind, told) in answers() {
        cluster.server.next(reply);
        let error = store.load().await.unwrap_err();
        assert_eq!((error.kind, error.to_string().as_str()), (kind, told));
        let shown = chain(&error);
        // What we may not do is said in the server's words, what was wrong with data is not.
        let rights = told.starts_with("we may not");
        assert_eq!(shown.contains("hunter2"), rights, "{shown}");
    }
    cluster.server.go_down().await;
    let error = store.load().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Away);
    assert!(error.to_string().ends_with("cannot be reached"), "{error}");
    cluster.server.come_back().await.unwrap();
    assert_eq!(store.load().await.unwrap(), None);
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let cluster = Cluster::new().await;
    let store = cluster.store();
    for (verb, object) in [("get", "secrets/crm"), ("get", "leases/crm")] {
        cluster.server.forbid(verb, object);
    }
    let hint = |error: Error| error.hint().unwrap().to_owned();
    let claim = || async {
        store
            .claim(&holder(), Duration::from_secs(15))
            .await
            .unwrap_err()
    };
    assert_eq!(
        hint(store.load().await.unwrap_err()),
        "bind a Role with the rule `{apiGroups: [\"\"], resources: [\"secrets\"], \
         resourceNames: [\"crm\"], verbs: [\"get\", \"patch\"]}`"
    );
    let rule = "apiGroups: [\"coordination.k8s.io\"], resources: [\"leases\"]";
    assert!(hint(claim().await).contains(rule));

    let cluster = Cluster::new().await;
    let store = cluster.store();
    cluster.server.delete("secrets/crm");
    cluster.server.delete("leases/crm");
    let error = store.save(&full(0), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(
        hint(error),
        "make it: `kubectl --namespace practice create secret generic crm`"
    );
    let claim = store.claim(&holder(), Duration::from_secs(15)).await;
    assert!(
        hint(claim.unwrap_err())
            .contains("kind: Lease, metadata: {name: crm, namespace: practice}")
    );
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let cluster = Cluster::new().await;
    let store = cluster.store();
    for status in [429, 503] {
        cluster
            .server
            .next(Reply::status(status).header("retry-after", "0"));
    }
    assert_eq!(store.load().await.unwrap(), None);
    assert_eq!(cluster.server.asked().len(), 3);
    // It may even have done what it says it has not.
    cluster.server.next(Reply::regular());
    let busy = Reply::status(503).header("retry-after", "0");
    cluster.server.next(busy.after_commit());
    store.save(&full(0), None).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(full(0)));
}

#[tokio::test]
async fn a_token_that_rotates_is_taken_up() {
    let cluster = Cluster::new().await;
    let store = cluster.store();
    assert_eq!(store.load().await.unwrap(), None);
    cluster.server.rotate_token("second-token");
    let error = store.load().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(
        error.to_string(),
        "the Kubernetes API server does not know who we are"
    );
    let statuses: Vec<_> = cluster
        .server
        .asked()
        .all()
        .iter()
        .map(|asked| asked.status)
        .collect();
    assert_eq!(statuses, [200, 401, 401], "once more, and no more");
    assert!(!chain(&error).contains("first-token"));
    cluster.write("token", "second-token");
    assert_eq!(store.load().await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_overwritten() {
    for grant in ["", "aHVudGVyMg==", "no base64", "e30="] {
        let cluster = Cluster::new().await;
        let store = cluster.store();
        cluster
            .server
            .merge("secrets/crm", &json!({ "data": { "grant": grant } }));
        let before = cluster.secret();
        for error in [
            store.load().await.unwrap_err(),
            store.generation().await.unwrap_err(),
            store.save(&full(0), None).await.unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::Unreadable, "{grant:?}");
            assert_eq!(
                error.to_string(),
                "the grant in the Secret `practice/crm` cannot be read"
            );
            assert!(!chain(&error).contains("hunter2"));
        }
        assert_eq!(cluster.secret(), before);
    }
}

#[tokio::test]
async fn a_record_that_no_secret_can_hold_is_refused_before_it_is_sent() {
    let cluster = Cluster::new().await;
    let store = cluster.store();
    let mut record = full(0);
    record
        .captured
        .insert(String::from("much"), "x".repeat(LARGEST).into());
    let error = store.save(&record, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(cluster.server.asked().len(), 1, "only the look");
}

#[tokio::test]
async fn a_sealed_record_opens_with_its_key_only_but_shows_its_generation() {
    let cluster = Cluster::new().await.sealed();
    cluster.store().save(&full(4), None).await.unwrap();
    let cluster = cluster.sealed();
    let stranger = cluster.store();
    assert_eq!(stranger.generation().await.unwrap(), Some(4));
    let error = stranger.load().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreadable);
}

/// The trap that all this is about is in the practice server as it is in the real one.
#[tokio::test]
async fn a_write_without_a_version_would_overwrite_silently() {
    let cluster = Cluster::new().await;
    let server = Kubernetes::start("crm").await;
    let path = cluster.write(
        "config",
        &kubeconfig(server.url(), "", "token: first-token"),
    );
    let limit = Duration::from_secs(10);
    let access = Access::find(Some(&path), &Surroundings::default(), limit).unwrap();
    let client = Client::new(access, limit);
    let secret = Object::secret(NAMESPACE.parse().unwrap(), "crm".parse().unwrap());
    let grant = |text: &str| json!({ "data": { "grant": text } });
    let mut stale = grant("c3RhbGU=");
    stale["metadata"] = json!({ "resourceVersion": "0" });
    assert_eq!(client.patch(&secret, &stale).await.unwrap(), Patched::Stale);
    assert_eq!(
        client.patch(&secret, &grant("bG9zdA==")).await.unwrap(),
        Patched::Done
    );
    assert_eq!(
        client.patch(&secret, &grant("b3Zlcg==")).await.unwrap(),
        Patched::Done
    );
    assert_eq!(server.object("secrets/crm")["data"]["grant"], "b3Zlcg==");
}
