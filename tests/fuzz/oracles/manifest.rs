//! What must hold for any text in a file that a user writes; the fuzz target `manifest` and a
//! bounded test of the command line both feed it.
//!
//! 1. Reading ends in values or an error with a message; it never panics.
//! 2. What was read, written again, reads the same: a number, size or time is never a near one.
//! 3. A name is one that the text holds.

use std::fmt::Write as _;
use std::time::Duration;

use super::manifest::{Settings, name};

/// Settings with everything in them, and manifests of projects.
pub const SEEDS: [&str; 3] = [
    "listen = \"127.0.0.1:7410\"\nhttp = \"[::1]:7411\"\nhttp-tls = \"0.0.0.0:443\"\nworkers = 2\n\
     slots = 100\ntimeout = \"250ms\"\nidle-cell = \"1.5h\"\ndrain = \"10s\"\ncell-memory = \"2G\"\n\
     builder-memory = \"512MiB\"\nkeep-versions = 3\ndisk-budget = \"2G\"\n\
     upload-quota = \"1G\"\nstate-memory = \"4G\"\nstate-memory-per-tenant = \"1G\"\n\
     state-values-per-tenant = 1000\npeers = \"hosts\"\nhost = \"one\"\n\
     peer-listen = \"127.0.0.1:7412\"\npeer-keys = \"keys/one\"\nsandbox = \"strict\"\n\
     lazy-above = \"4M\"\nlow-latency = true\nlog = \"warn,faaslet_vmm=debug\"\nlog-json = true\n",
    "name = \"greet\"\nlang = \"c\"\nkind = \"function\"\nsources = [\"a.c\"]\nflags = [\"-O2\"]\n",
    "[package]\nname = \"greet\"\nversion = \"0.1.0\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n",
];

/// Checks any bytes.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Settings::parse(text) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(settings) => {
            let again = write(&settings);
            let read = Settings::parse(&again).unwrap_or_else(|error| panic!("{again}\n{error}"));
            assert_eq!(read, settings, "{again}");
        }
    }
    for table in [None, Some("package")] {
        let Some(name) = name(text, table) else { continue };
        // An escape stands for another character, and a line's end for its usual form.
        let plain = !text.contains('\\') && !name.contains('\n');
        assert!(!plain || text.contains(&name), "{name}");
    }
}

fn write(settings: &Settings) -> String {
    let mut text = String::new();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{key} = {value}");
        }
    };
    let quoted = |value: String| format!("{value:?}");
    let time = |time: Duration| format!("\"{}.{:09}s\"", time.as_secs(), time.subsec_nanos());
    put("listen", settings.listen.map(|at| quoted(at.to_string())));
    put("http", settings.http.map(|at| quoted(at.to_string())));
    put("http-tls", settings.http_tls.map(|at| quoted(at.to_string())));
    put("workers", settings.workers.map(|count| count.to_string()));
    put("slots", settings.slots.map(|count| count.to_string()));
    put("timeout", settings.timeout.map(time));
    put("idle-cell", settings.idle_cell.map(time));
    put("drain", settings.drain.map(time));
    put("cell-memory", settings.cell_memory.map(|bytes| quoted(bytes.to_string())));
    put("builder-memory", settings.builder_memory.map(|bytes| quoted(bytes.to_string())));
    put("keep-versions", settings.keep_versions.map(|count| count.to_string()));
    put("state-memory", settings.state_memory.map(|bytes| quoted(bytes.to_string())));
    let per_tenant = settings.state_memory_per_tenant;
    put("state-memory-per-tenant", per_tenant.map(|bytes| quoted(bytes.to_string())));
    let values = settings.state_values_per_tenant;
    put("state-values-per-tenant", values.map(|count| count.to_string()));
    let path = |path: &Option<std::path::PathBuf>| {
        let text = path.as_ref()?.to_string_lossy().into_owned();
        Some(toml::Value::from(text).to_string())
    };
    put("peers", path(&settings.peers));
    put("host", settings.host.clone().map(|host| toml::Value::from(host).to_string()));
    put("peer-listen", settings.peer_listen.map(|at| quoted(at.to_string())));
    put("peer-keys", path(&settings.peer_keys));
    put("sandbox", settings.sandbox.map(|sandbox| quoted(sandbox.word().to_owned())));
    put("disk-budget", settings.disk_budget.map(|bytes| quoted(bytes.to_string())));
    put("upload-quota", settings.upload_quota.map(|bytes| quoted(bytes.to_string())));
    put("lazy-above", settings.lazy_above.map(|bytes| quoted(bytes.to_string())));
    put("low-latency", settings.low_latency.map(|on| on.to_string()));
    put("log", settings.log.clone().map(|filter| toml::Value::from(filter).to_string()));
    put("log-json", settings.log_json.map(|on| on.to_string()));
    text
}
