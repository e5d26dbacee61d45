//! Sockets that listen, and the loop that accepts connections from them.

use super::Connections;
use super::connection;
use super::service::{Answers, Shared};
use crate::app::App;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Connections beyond the limit that are told so at the same time; more are just closed.
const REFUSALS_MAX: usize = 64;

/// How long accepting rests when the system has no room for another connection.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(1);

/// Listens on an address.
///
/// # Errors
/// The system's, as when the port is taken.
pub(crate) fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port whose old connections are still winding down may be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// Accepts until the server stops.
pub(crate) async fn accept<A: Answers>(
    listener: TcpListener,
    shared: Arc<Shared<A>>,
    connections: Arc<Connections>,
) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut rest = REST_MIN;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.closed_to_new.notified() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                // Most likely no file descriptors are left: the listener stays ready, and asking
                // at once again would burn a processor.
                shared.app.metrics.accept_failed();
                tracing::warn!(%error, rest_ms = rest.as_millis(), "cannot accept connections");
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(REST_MAX);
                continue;
            }
        };
        rest = REST_MIN;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Ok(permit) = Arc::clone(&connections.permits).try_acquire_owned() else {
            shared.app.metrics.connection_refused();
            if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                tokio::spawn(async move {
                    refuse(stream).await;
                    drop(permit);
                });
            }
            continue;
        };
        let (shared, connections) = (Arc::clone(&shared), Arc::clone(&connections));
        shared.app.metrics.connection_opened();
        tokio::spawn(async move {
            let open = Open { app: Arc::clone(&shared.app), _permit: permit };
            connection::serve(stream, shared, connections).await;
            drop(open);
        });
    }
}

/// Counts a connection as open until it is dropped, also by a panic.
struct Open {
    app: Arc<App>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics.connection_closed();
    }
}

/// Errors of one connection that was gone before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    content-length: 172\r\n\r\n\
    {\"type\":\"/problems/overloaded\",\"title\":\"The server is overloaded\",\"status\":503,\
    \"detail\":\"too many connections are open; close some, or try again later\",\"code\":\"overloaded\"}";

/// Tells a client that there is no room, once it has asked something.
async fn refuse(mut stream: TcpStream) {
    let told = async {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await?;
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await?;
        // Closing with unread input would reset the connection, and the answer with it.
        for _ in 0..16 {
            if stream.read(&mut buffer).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // However it ends, the connection is over.
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_answer_has_its_length() {
        let text = std::str::from_utf8(TOO_MANY).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
