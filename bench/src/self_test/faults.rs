//! A server that misbehaves in one planted way for each path. One blocking thread for each connection; for the
//! self-test only. Tests: `self_test/mod.rs`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Long enough that the client has taken the answer before, short beside the time that a case runs.
const AFTER_ANSWER: Duration = Duration::from_millis(100);
/// Longer than any case waits.
const STALL: Duration = Duration::from_secs(3);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";

/// Serves for ever on threads of their own and returns the address.
///
/// # Errors
/// No port can be had.
pub(crate) fn spawn() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // The client may leave whenever it likes.
                let _ = serve(stream);
            });
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answered = 0;
    while let Some(path) = read_request(&mut stream)? {
        match path.as_str() {
            "/ok" => stream.write_all(OK)?,
            "/chunked" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no")?;
                stream.write_all(b"k\r\n0\r\n\r\n")?;
            }
            "/polite" => {
                return stream
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            }
            "/close" => return Ok(()),
            "/reset" => return reset(&stream),
            "/half" => return stream.write_all(HALF),
            "/half-reset" => {
                stream.write_all(HALF)?;
                // A reset throws away what the client has not read yet.
                std::thread::sleep(AFTER_ANSWER);
                return reset(&stream);
            }
            "/race" if answered > 0 => return Ok(()),
            "/race-reset" if answered > 0 => return reset(&stream),
            "/race" | "/race-reset" => stream.write_all(OK)?,
            "/500" => stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")?,
            "/stall" => {
                std::thread::sleep(STALL);
                return Ok(());
            }
            "/stall-half" => {
                stream.write_all(HALF)?;
                std::thread::sleep(STALL);
                return Ok(());
            }
            "/garbage" => stream.write_all(b"220 mail.example ESMTP\r\n\r\n")?,
            "/unframed" => return stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok"),
            "/extra" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\noktoo much")?,
            "/idle-close" | "/idle-reset" | "/idle-bytes" => return idle(stream, &path),
            _ => stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")?,
        }
        answered += 1;
    }
    Ok(())
}

/// Answers well and misbehaves a little later.
fn idle(mut stream: TcpStream, path: &str) -> io::Result<()> {
    stream.write_all(OK)?;
    std::thread::sleep(AFTER_ANSWER);
    match path {
        "/idle-reset" => reset(&stream),
        "/idle-bytes" => {
            stream.write_all(OK)?;
            std::thread::sleep(AFTER_ANSWER);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Makes the coming close a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?)
}

/// The path of the next request, `None` when there is none.
fn read_request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Ok(None);
        }
        head.extend_from_slice(&piece[..length]);
    }
    let text = String::from_utf8_lossy(&head);
    Ok(text.split(' ').nth(1).map(str::to_owned))
}
