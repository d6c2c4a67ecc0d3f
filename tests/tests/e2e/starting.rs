//! How a monitor is started: its configuration in layers, and what it tells its surroundings.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use faaslet_tests::{PATIENCE, Site};
use serde_json::Value;

/// What `up` says that is told a number of workers it cannot have.
fn refusal(site: &Site, flags: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = site.command(&["up"]);
    let output = command.args(flags).envs(environment.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let site = Site::new();
    let file = site.file("faaslet.toml", b"workers = 1001");
    let config = ["--config", file.to_str().unwrap()];
    assert!(refusal(&site, &config, &[]).contains("found 1001"));
    let environment = [("FAASLET_WORKERS", "1002")];
    assert!(refusal(&site, &config, &environment).contains("found 1002"));
    let flags = [&config[..], &["--workers", "1003"]].concat();
    assert!(refusal(&site, &flags, &environment).contains("found 1003"));
    let monitor = site.up_within(&["--workers", "1"], &environment);
    monitor.deploy_wat("echo");
    assert_eq!(monitor.call("echo", "x").text(), "x");
    monitor.stop();
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let site = Site::new();
    let path = site.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let monitor = site.up_within(&[], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let told = || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    };
    assert_eq!(told(), "READY=1");
    assert_eq!(monitor.operator().get("/readyz").status, 200);
    monitor.terminate();
    assert_eq!(told(), "STOPPING=1");
    monitor.wait_stopped();
}

#[test]
fn low_latency_holds_the_processor_awake_or_says_why_not() {
    const LATENCY_FILE: &str = "/dev/cpu_dma_latency";
    let site = Site::new();
    if fs::OpenOptions::new().write(true).open(LATENCY_FILE).is_err() {
        let output = site.command(&["up", "--low-latency"]).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("--low-latency") && said.contains(LATENCY_FILE), "{said}");
        return;
    }
    let monitor = site.up_with(&["--low-latency"]);
    let open = fs::read_dir(format!("/proc/{}/fd", monitor.pid())).unwrap();
    let mut links = open.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    assert!(links.any(|link| link == Path::new(LATENCY_FILE)));
    monitor.stop();
}

#[test]
fn http_over_tls_listens_where_it_says_and_speaks_nothing_else() {
    let site = Site::new();
    let monitor = site.up_with(&["--http-tls", "127.0.0.1:0"]);
    let address = fs::read_to_string(site.data().join("address.json")).unwrap();
    let address: Value = serde_json::from_str(&address).unwrap();
    let tls: SocketAddr = address["https"].as_str().unwrap().parse().unwrap();
    assert_ne!(tls, monitor.http);
    let mut stream = TcpStream::connect(tls).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    // It may be reset after the alert.
    let _ = stream.read_to_end(&mut said);
    assert!(!said.windows(4).any(|four| four == b"HTTP"), "{said:?}");
    assert_eq!(monitor.operator().get("/healthz").status, 200);
    monitor.stop();
}
