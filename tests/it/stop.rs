//! The end: signals, running requests, and what is owed to the store.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use rustix::process::Signal;

use crate::practice::{Api, Gate, Issuer, Outcome, Reply};
use crate::support::{Sidecar, client};

/// Far less than `drain_timeout`, far more than an idle process needs.
const AT_ONCE: Duration = Duration::from_secs(3);

async fn world() -> (Issuer, Api) {
    let issuer = Issuer::start().await;
    let api = Api::start(&issuer).await;
    (issuer, api)
}

#[tokio::test]
async fn an_idle_process_ends_at_once_and_well() {
    let (issuer, api) = world().await;
    for signal in [Signal::Term, Signal::Int] {
        let mut sidecar = Sidecar::between(&issuer, &api).start().await;
        let mut kept = sidecar.connect().await;
        assert_eq!(kept.get("/").await.unwrap().status, 200);
        let mut kept2 = sidecar.connect_http2().await;
        assert_eq!(kept2.get("/").await.unwrap().status, 200);
        let asked = Instant::now();
        sidecar.signal(signal);
        assert_eq!(sidecar.wait_exit().await, Some(0));
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        assert!(kept.get("/").await.is_err() && kept2.get("/").await.is_err());
    }
}

#[tokio::test]
async fn a_running_request_is_finished_and_nobody_else_let_in() {
    let (issuer, api) = world().await;
    let gate = Gate::closed();
    api.on("/slow", Reply::status(200).body("at last").hold(&gate));
    let mut sidecar = Sidecar::between(&issuer, &api).start().await;
    let (mut one, mut two) = (sidecar.connect().await, sidecar.connect_http2().await);
    let slow = tokio::spawn(async move { (one.get("/slow").await.unwrap(), one) });
    let slow2 = tokio::spawn(async move { (two.get("/slow").await.unwrap(), two) });
    gate.reached_by(2).await;

    sidecar.signal(Signal::Term);
    sidecar.logged(|event| event.message == "stopping").await;
    let ready = sidecar.ask("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), ready.text().as_str()),
        (503, "not ready: stopping\n")
    );
    assert_eq!(sidecar.ask("/livez").await.status, 200);
    refused(&sidecar).await;

    gate.open();
    let (answer, one) = slow.await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, "at last")
    );
    assert_eq!(answer.header("connection"), Some("close"));
    let (answer, mut two) = slow2.await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (200, "at last")
    );
    assert_eq!(sidecar.wait_exit().await, Some(0));
    assert!(!one.is_open(), "closed after the answer");
    assert!(two.get("/").await.is_err(), "GOAWAY");
}

/// Waits until the port is closed: workers close their shares one after the other.
async fn refused(sidecar: &Sidecar) {
    let patience = Instant::now() + client::PATIENCE;
    while sidecar.proxy().connect().await.is_ok() {
        assert!(Instant::now() < patience, "it still accepts");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_streaming_answer_is_finished_too() {
    let (issuer, api) = world().await;
    api.on("/echo", Reply::echo());
    let mut sidecar = Sidecar::between(&issuer, &api).start().await;
    let (pieces, body) = client::streamed();
    let mut connection = sidecar.connect().await;
    let mut request = client::post("/echo", "");
    *request.body_mut() = body;
    pieces.send(Frame::data(Bytes::from("one "))).await.unwrap();
    let answer = connection.open(request).await.unwrap();
    sidecar.signal(Signal::Term);
    sidecar.logged(|event| event.message == "stopping").await;
    pieces.send(Frame::data(Bytes::from("two"))).await.unwrap();
    drop(pieces);
    let answer = client::Answer::read(answer).await.unwrap();
    assert_eq!(answer.text(), "one two");
    assert_eq!(sidecar.wait_exit().await, Some(0));
}

#[tokio::test]
async fn it_lingers_for_a_service_that_ends_at_the_same_time() {
    let (issuer, api) = world().await;
    let plan = Sidecar::between(&issuer, &api).config("proxy.linger = '2s'");
    let mut sidecar = plan.start().await;
    let asked = Instant::now();
    sidecar.signal(Signal::Term);
    sidecar
        .logged(|event| event.message.starts_with("asked to stop"))
        .await;
    assert_eq!(sidecar.ask("/readyz").await.status, 503);
    assert_eq!(sidecar.get("/").await.status, 200, "a new connection too");
    assert_eq!(sidecar.wait_exit().await, Some(0));
    assert!(asked.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn what_runs_for_too_long_is_cut() {
    let (issuer, api) = world().await;
    api.on("/for-ever", Reply::silence());
    let plan = Sidecar::between(&issuer, &api).config("proxy.drain_timeout = '300ms'");
    let mut sidecar = plan.start().await;
    let mut connection = sidecar.connect().await;
    let call = tokio::spawn(async move { connection.get("/for-ever").await });
    api.requests().reaches(1).await.unwrap();
    let asked = Instant::now();
    sidecar.signal(Signal::Term);
    assert_eq!(sidecar.wait_exit().await, Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "{:?}",
        asked.elapsed()
    );
    assert!(call.await.unwrap().is_err());
    sidecar
        .logged(|event| event.message.starts_with("the drain timeout has passed"))
        .await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (issuer, api) = world().await;
    api.on("/for-ever", Reply::silence());
    for [first, second] in [[Signal::Term, Signal::Term], [Signal::Int, Signal::Term]] {
        let mut sidecar = Sidecar::between(&issuer, &api).start().await;
        let mut connection = sidecar.connect().await;
        let seen = api.requests().len();
        let call = tokio::spawn(async move { connection.get("/for-ever").await });
        api.requests().reaches(seen + 1).await.unwrap();
        sidecar.signal(first);
        sidecar.logged(|event| event.message == "stopping").await;
        let asked = Instant::now();
        sidecar.signal(second);
        assert_eq!(sidecar.wait_exit().await, Some(0));
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        assert!(call.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_refresh_under_way_is_finished_and_saved() {
    let (issuer, api) = world().await;
    let mut sidecar = Sidecar::between(&issuer, &api)
        .grant("renew_floor = '0s'")
        .start()
        .await;
    assert_eq!(sidecar.get("/").await.status, 200);
    let gate = Gate::closed();
    issuer.next(Reply::regular().hold(&gate));
    api.reject(&issuer.access_token().unwrap());
    let mut connection = sidecar.connect().await;
    let caller = tokio::spawn(async move { connection.get("/").await });
    gate.reached_by(1).await;
    // Whoever waited for it goes away; the refresh belongs to nobody.
    caller.abort();
    sidecar.signal(Signal::Term);
    sidecar.logged(|event| event.message == "stopping").await;
    gate.open();
    assert_eq!(sidecar.wait_exit().await, Some(0));
    sidecar.start_again().await;
    assert_eq!(sidecar.get("/").await.status, 200);
    assert_eq!(issuer.refreshes(), 2, "the token that came last is used");
    assert_eq!(issuer.count(Outcome::Reused), 0);
}

#[tokio::test]
async fn signals_work_as_pid_1() {
    let (issuer, api) = world().await;
    // Who is not root needs a user namespace for it.
    let own = if rustix::process::geteuid().is_root() {
        ""
    } else {
        "--user --map-current-user"
    };
    let line = format!("exec unshare {own} --pid --fork --kill-child \"$@\"");
    let mut sidecar = Sidecar::between(&issuer, &api)
        .by_way_of(&line)
        .start()
        .await;
    assert_eq!(sidecar.get("/").await.status, 200);
    let children = format!("/proc/{0}/task/{0}/children", sidecar.id());
    let children = std::fs::read_to_string(children).unwrap();
    let child: i32 = children.trim().parse().expect("unshare has one child");
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    let inner = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .unwrap();
    assert_eq!(inner.split_whitespace().last(), Some("1"), "{status}");
    let child = rustix::process::Pid::from_raw(child).unwrap();

    rustix::process::kill_process(child, Signal::Hup).unwrap();
    sidecar
        .logged(|event| event.message == "configuration reloaded")
        .await;
    let asked = Instant::now();
    rustix::process::kill_process(child, Signal::Term).unwrap();
    assert_eq!(sidecar.wait_exit().await, Some(0));
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}
