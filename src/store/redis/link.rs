//! One connection to one server, and commands over it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, RedisConnectionInfo, RedisResult, Value};

use super::route::Address;
use crate::upstream::Wire;

/// A connection that stands. It is driven only while somebody asks something over it: nothing
/// comes unasked, and whether it has been closed since is found out at the next question.
pub(super) struct Link {
    address: Address,
    connection: MultiplexedConnection,
    driver: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Link {
    /// Speaks Redis' protocol over `wire`. Nothing is said yet.
    pub(super) async fn new(address: Address, wire: Wire) -> RedisResult<Self> {
        // Who we are is told by commands of our own, whose answers keep their codes; how long to
        // wait is the caller's to know.
        let silent = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&silent, wire, config).await?;
        Ok(Self {
            address,
            connection,
            driver: Some(Box::pin(driver)),
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Asks one thing after the other, up to the first error.
    pub(super) async fn run(&mut self, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            answers.push(self.ask(command).await?);
        }
        Ok(answers)
    }

    /// Asks one thing.
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        let driver = &mut self.driver;
        let mut answer = pin!(self.connection.send_packed_command(command));
        let answer = poll_fn(|cx| {
            let ended = driver
                .as_mut()
                .is_some_and(|driver| driver.as_mut().poll(cx).is_ready());
            if ended {
                *driver = None;
            }
            answer.as_mut().poll(cx)
        });
        answer.await?.extract_error()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.address).finish()
    }
}
