//! How a TCP connection finds out that its other end has vanished.
//!
//! A machine that loses its power closes nothing, and a gateway forgets a flow that is long
//! quiet. A tunnel, or a stream of events, would wait on for ever: nothing is ever sent there.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// After how long without a segment the system asks; shorter than gateways remember a flow.
const QUIET: Duration = Duration::from_secs(30);

/// How long after a question without an answer it asks again.
const AGAIN: Duration = Duration::from_secs(10);

/// Questions without an answer after which the connection is broken.
const QUESTIONS: u32 = 3;

/// Has the system ask the other end of a TCP connection whether it is there (RFC 9293 §3.8.4).
/// What a listener accepts inherits it.
pub fn watch(socket: impl AsFd) -> io::Result<()> {
    let socket = socket.as_fd();
    sockopt::set_tcp_keepidle(socket, QUIET)?;
    sockopt::set_tcp_keepintvl(socket, AGAIN)?;
    sockopt::set_tcp_keepcnt(socket, QUESTIONS)?;
    Ok(sockopt::set_socket_keepalive(socket, true)?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_is_accepted_inherits_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        watch(&listener).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        assert!(!sockopt::get_socket_keepalive(&near).unwrap());
        assert!(sockopt::get_socket_keepalive(&far).unwrap());
        assert_eq!(sockopt::get_tcp_keepidle(&far).unwrap(), QUIET);
        assert_eq!(sockopt::get_tcp_keepintvl(&far).unwrap(), AGAIN);
        assert_eq!(sockopt::get_tcp_keepcnt(&far).unwrap(), QUESTIONS);
    }
}
