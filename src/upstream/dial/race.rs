//! Which of a host's addresses answers first (RFC 8305, "happy eyeballs").

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;

/// How long an address may stay silent before the next one is tried beside it (RFC 8305 §8).
const STAGGER: Duration = Duration::from_millis(250);

/// The addresses without duplicates, alternating between the families, beginning with the
/// resolver's favourite (RFC 8305 §4).
pub(super) fn interleaved(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut favoured, mut others) = (Vec::new(), Vec::new());
    for address in found {
        let favourite = favoured.first().unwrap_or(&address);
        let family = if favourite.is_ipv6() == address.is_ipv6() {
            &mut favoured
        } else {
            &mut others
        };
        if !family.contains(&address) {
            family.push(address);
        }
    }
    let mut others = others.into_iter();
    let mut mixed = Vec::new();
    for address in favoured {
        mixed.push(address);
        mixed.extend(others.next());
    }
    mixed.extend(others);
    mixed
}

type Attempt<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Tries the addresses in order, the next one when the last has failed or was silent for
/// [`STAGGER`]; the first success wins and drops the others. The error is the last one's.
pub(super) async fn first<'a, T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>> + Send + 'a,
{
    let mut waiting = addresses.into_iter();
    let mut running: Vec<Attempt<'a, T>> = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            running.push(Box::pin(connect(address)));
        } else if running.is_empty() {
            return Err(last);
        }
        let more = waiting.len() > 0;
        tokio::select! {
            outcome = ended(&mut running) => match outcome {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

/// Ends with the first attempt that ends, and takes it out.
async fn ended<T>(running: &mut Vec<Attempt<'_, T>>) -> io::Result<T> {
    poll_fn(|cx| {
        let outcome = running.iter_mut().enumerate().find_map(|(at, attempt)| {
            match attempt.as_mut().poll(cx) {
                Poll::Ready(outcome) => Some((at, outcome)),
                Poll::Pending => None,
            }
        });
        let Some((at, outcome)) = outcome else {
            return Poll::Pending;
        };
        drop(running.swap_remove(at));
        Poll::Ready(outcome)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::time::Instant;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_alternate_from_the_favourite() {
        let found = [
            "[::1]:1",
            "[::2]:1",
            "[::1]:1",
            "[::3]:1",
            "1.1.1.1:1",
            "2.2.2.2:1",
        ];
        let mixed = interleaved(found.into_iter().map(address));
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"];
        assert_eq!(mixed, expected.map(address));
        let few = interleaved(["1.1.1.1:1", "[::1]:1", "[::2]:1"].into_iter().map(address));
        assert_eq!(few, ["1.1.1.1:1", "[::1]:1", "[::2]:1"].map(address));
    }

    /// Each address answers after so many milliseconds, well or badly.
    async fn race(
        script: &[(&str, u64, Result<(), io::ErrorKind>)],
    ) -> (Result<SocketAddr, io::ErrorKind>, u64) {
        let start = Instant::now();
        let addresses = script.iter().map(|(text, ..)| address(text)).collect();
        let script: BTreeMap<_, _> = script
            .iter()
            .map(|(text, millis, outcome)| (address(text), (*millis, *outcome)))
            .collect();
        let outcome = first(addresses, |address| {
            let (millis, outcome) = script[&address];
            async move {
                sleep(Duration::from_millis(millis)).await;
                outcome.map(|()| address).map_err(io::Error::from)
            }
        })
        .await;
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap();
        (outcome.map_err(|error| error.kind()), millis)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_wins() {
        let refused = Err(io::ErrorKind::ConnectionRefused);
        let silent = 60_000;
        let cases = [
            (
                vec![("[::1]:1", 10, Ok(())), ("1.1.1.1:1", 1, Ok(()))],
                Ok("[::1]:1"),
                10,
            ),
            (
                vec![("[::1]:1", silent, Ok(())), ("1.1.1.1:1", 10, Ok(()))],
                Ok("1.1.1.1:1"),
                260,
            ),
            (
                vec![("[::1]:1", 300, Ok(())), ("1.1.1.1:1", 100, Ok(()))],
                Ok("[::1]:1"),
                300,
            ),
            (
                vec![("[::1]:1", 10, refused), ("1.1.1.1:1", 10, Ok(()))],
                Ok("1.1.1.1:1"),
                20,
            ),
            (
                vec![("[::1]:1", 400, refused), ("1.1.1.1:1", 10, refused)],
                Err(io::ErrorKind::ConnectionRefused),
                400,
            ),
            (vec![], Err(io::ErrorKind::NotFound), 0),
        ];
        for (script, winner, millis) in cases {
            let (outcome, took) = race(&script).await;
            assert_eq!(outcome, winner.map(address), "{script:?}");
            // The timer's grain is a millisecond per sleep.
            assert!(took.abs_diff(millis) <= 3, "{script:?} took {took} ms");
        }
    }
}
