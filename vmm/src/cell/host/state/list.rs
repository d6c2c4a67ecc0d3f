//! Keys of the tenant by their prefix.

use faaslet_abi::Status;
use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::key::MAX_KEY_BYTES;
use faaslet_state::message::{Body, MAX_LISTED, Reply};
use faaslet_state::payload::{names, write_name};

use super::error::Refused;
use super::held::Held;
use super::{Done, check, put};

#[allow(clippy::too_many_arguments, reason = "those of the host call")]
pub(super) async fn list(
    held: &mut Held,
    memory: &GuestMemory,
    prefix: u32,
    prefix_len: u32,
    after: u32,
    after_len: u32,
    ptr: u32,
    len: u32,
) -> Done {
    let prefix = text(memory, prefix, prefix_len)?;
    let after = text(memory, after, after_len)?;
    check(memory, ptr, len)?;
    let body = Body::List { after, limit: MAX_LISTED };
    let listed = held.ask(&prefix, body, Vec::new()).await?;
    let (reply, payload) = listed.map_err(|error| Refused::session(&prefix, &error))?;
    let Reply::Listed { .. } = reply else { return Err(Refused::unexpected(&prefix)) };
    let fitting = fitting(&prefix, &payload, len as usize)?;
    put(memory, ptr, &fitting)?;
    super::super::length(fitting.len())
        .map_err(|status| Refused::new(status, "expected less than 2 GiB of keys"))
}

/// As many names as fit into so many bytes.
fn fitting(prefix: &str, payload: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::new();
    for name in names(payload) {
        let name = name.map_err(|error| Refused::new(Status::Unavailable, error))?;
        let whole = out.len() + size_of::<u16>() + name.len();
        if whole > most {
            if out.is_empty() {
                let text = format!(
                    "keys with prefix {prefix:?}: expected room for {whole} bytes; found {most}"
                );
                return Err(Refused::new(Status::TooLarge, text));
            }
            break;
        }
        write_name(&mut out, name);
    }
    Ok(out)
}

/// A prefix or a key, or nothing.
fn text(memory: &GuestMemory, ptr: u32, len: u32) -> Result<String, Refused> {
    check(memory, ptr, len)?;
    if len as usize > MAX_KEY_BYTES {
        let text = format!("expected a prefix of at most {MAX_KEY_BYTES} bytes; found {len}");
        return Err(Refused::new(Status::TooLarge, text));
    }
    let mut bytes = vec![0; len as usize];
    memory.read(ptr, &mut bytes).map_err(|fault| Refused::new(Status::Fault, fault))?;
    String::from_utf8(bytes).map_err(|error| {
        Refused::new(Status::Invalid, format!("expected a prefix in UTF-8: {error}"))
    })
}
