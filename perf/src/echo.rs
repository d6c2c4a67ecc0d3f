//! A bare UDP echo between two blocking threads: the least that a round trip can cost.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::measure::{self, Times};

/// What it carries.
const PAYLOAD: [u8; 64] = [7; 64];

/// Round trips, one after the other, for `time`.
pub(crate) fn times(time: Duration) -> Result<Times> {
    let (server, client) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    client.connect(server.local_addr()?)?;
    let server = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            if length == 0 || server.send_to(&buffer[..length], from).is_err() {
                break;
            }
        }
    });
    let mut buffer = [0; 2048];
    let times = measure::times(time, || {
        client.send(&PAYLOAD)?;
        let length = client.recv(&mut buffer)?;
        ensure!(buffer[..length] == PAYLOAD, "the echo is not what was sent");
        Ok(())
    })?;
    client.send(&[])?;
    ensure!(server.join().is_ok(), "the echo panicked");
    Ok(times)
}
