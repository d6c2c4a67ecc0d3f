//! What the monitor logs, on standard error: a line for each event, whatever is in it.

use std::fmt;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, Writer};

use super::exit::{Code, Failure};

/// Logs from now on what `filter` lets through.
pub fn start(filter: &str, json: bool) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        let what = format!("expected a log level such as info or debug; {error}; change --log");
        Failure::new(Code::Usage, what)
    })?;
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        logger.json().init();
    } else {
        logger.fmt_fields(format::debug_fn(field).delimited(" ")).init();
    }
    Ok(())
}

/// Writes a field. Its value may hold what a guest said: no character of it ends the line or
/// commands the terminal.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{field}=")?;
    }
    for c in format!("{value:?}").chars() {
        if c.is_control() {
            write!(writer, "{}", c.escape_default())?;
        } else {
            write!(writer, "{c}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_guest_says_stays_within_its_line() {
        let kept = Kept::default();
        let writer = kept.clone();
        let logger = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .fmt_fields(format::debug_fn(field).delimited(" "))
            .finish();
        let error = "it failed\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2J\u{9b}";
        tracing::subscriber::with_default(logger, || tracing::info!(%error, n = 3, "not deployed"));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("not deployed error=it failed\\n2026"), "{text}");
        assert!(text.contains(" n=3") && !text.trim_end().contains(char::is_control), "{text}");
    }
}
