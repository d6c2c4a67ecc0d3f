//! What must hold for any text in a file that a user writes; the fuzz target `manifest` and a
//! bounded test of the command line both feed it.
//!
//! 1. Reading ends in values or an error with a message; it never panics.
//! 2. What was read, written again, reads the same: a number, size or time is never a near one.
//! 3. A name is one that the text holds.

use super::manifest::name;
use super::settings::Settings;

/// Settings with everything in them, and manifests of projects.
pub const SEEDS: [&str; 3] = [
    "listen = \"127.0.0.1:7410\"\nhttp = \"[::1]:7411\"\nhttp-tls = \"0.0.0.0:443\"\nworkers = 2\n\
     slots = 100\ntimeout = \"250ms\"\nidle-cell = \"1.5h\"\ndrain = \"10s\"\ncell-memory = \"2G\"\n\
     builder-memory = \"512MiB\"\nkeep-versions = 3\nimage-memory = \"1G\"\nhost-slots = 64\n\
     disk-budget = \"2G\"\n\
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
            let again = toml::to_string(&settings).unwrap_or_else(|error| panic!("{error}"));
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
