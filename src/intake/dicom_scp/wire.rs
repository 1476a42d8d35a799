//! A connection whose every wait has an end, and PDUs out of it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_ul::pdu::{PDU_HEADER_SIZE, Pdu, read_pdu, write_pdu};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Ended;

/// Longest PDU that is taken, bytes after its header; told to the peer when the association is made.
pub const MAX_PDU: u32 = 64 << 10;

/// What an association needs of a connection.
pub trait Wire: Read + Write {
    /// No read or write waits past this moment: what is not done then fails with `TimedOut`.
    fn wait_until(&mut self, end: Instant);
}

/// A TCP connection that waits no longer than it was told.
///
/// The end is a moment and not a time without bytes, so that a peer that drips bytes gains nothing.
#[derive(Debug)]
pub struct Patient {
    socket: TcpStream,
    end: Instant,
}

impl Patient {
    /// Wraps a connection; without [`Wire::wait_until`] nothing can be read from it.
    pub fn new(socket: TcpStream) -> Self {
        Self { socket, end: Instant::now() }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        // The system takes zero for "for ever".
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer)
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Wire for Patient {
    fn wait_until(&mut self, end: Instant) {
        self.end = end;
    }
}

/// A connection under TLS, which waits as [`Patient`] does.
pub type Secured = StreamOwned<ServerConnection, Patient>;

impl Wire for Secured {
    fn wait_until(&mut self, end: Instant) {
        self.sock.wait_until(end);
    }
}

/// Agrees on TLS with a peer, which must show its certificate, within `time`.
///
/// # Errors
/// [`Ended::Unproven`].
pub fn secure(socket: TcpStream, tls: &Arc<ServerConfig>, time: Duration) -> Result<Secured, Ended> {
    let mut socket = Patient::new(socket);
    socket.wait_until(Instant::now() + time);
    let mut connection = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other).map_err(Ended::Unproven)?;
    connection.complete_io(&mut socket).map_err(Ended::Unproven)?;
    Ok(StreamOwned::new(connection, socket))
}

/// Tells the peer that nothing follows, so that it knows that nobody has cut the connection.
pub fn part(wire: &mut Secured, time: Duration) {
    wire.wait_until(Instant::now() + time);
    wire.conn.send_close_notify();
    // It may be gone.
    let _ = wire.flush();
}

/// Reads one PDU: its first byte may take `first`, what follows `rest`. Holds it in memory once as it came, and the
/// parser's copies of it: under 1 MiB for any bytes.
///
/// # Errors
/// [`Ended`]: the connection is at its end, in time or out of it, or the bytes are no PDU of at most [`MAX_PDU`].
pub fn receive(wire: &mut impl Wire, first: Duration, rest: Duration) -> Result<Pdu, Ended> {
    let mut header = [0; PDU_HEADER_SIZE as usize];
    let (start, others) = header.split_at_mut(1);
    wire.wait_until(Instant::now() + first);
    match wire.read_exact(start) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Ended::Closed),
        read => read?,
    }
    wire.wait_until(Instant::now() + rest);
    wire.read_exact(others)?;
    let [kind, _, length @ ..] = header;
    let length = u32::from_be_bytes(length);
    if !(1..=7).contains(&kind) {
        return Err(Ended::Malformed("bytes that begin no PDU"));
    }
    if length > MAX_PDU {
        return Err(Ended::Malformed("a PDU that is longer than was agreed on"));
    }
    let mut pdu = header.to_vec();
    pdu.resize(header.len() + length as usize, 0);
    wire.read_exact(pdu.get_mut(header.len()..).unwrap_or_default())?;
    read_pdu(pdu.as_slice(), MAX_PDU, true).ok().flatten().ok_or(Ended::Malformed("a PDU that contradicts itself"))
}

/// Writes one PDU within `time`.
///
/// # Errors
/// [`Ended`].
pub fn send(wire: &mut impl Wire, pdu: &Pdu, time: Duration) -> Result<(), Ended> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).map_err(|_| Ended::Malformed("an answer that cannot be written"))?;
    wire.wait_until(Instant::now() + time);
    Ok(wire.write_all(&bytes).and_then(|()| wire.flush())?)
}
