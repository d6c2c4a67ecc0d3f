//! Input, output, identity, log lines and the HTTP head of a call.

use faaslet_abi::{IMPORT_MODULE as FAASLET, Identity, Level, Status, import};
use wasmtime::{Caller, Linker};

use super::carrier::{Arguments, bind_each, carry_each};
use super::{Host, HostResult, append, code, fill, length};
use crate::cell::limits::{MAX_LOG_LINE_BYTES, MAX_MESSAGE_BYTES, MAX_RESPONSE_HEAD_BYTES};

/// Gives each call of this file to a macro: name, function, parameters.
macro_rules! each_call {
    ($apply:ident($($with:tt)*)) => {
        $apply! { ($($with)*)
            INPUT_LEN = input_len();
            INPUT_READ = input_read(offset: u32, ptr: u32, len: u32);
            OUTPUT_APPEND = output_append(ptr: u32, len: u32);
            OUTPUT_SET = output_set(ptr: u32, len: u32);
            ERROR_SET = error_set(ptr: u32, len: u32);
            IDENTITY = identity_write(ptr: u32);
            TENANT = tenant(ptr: u32, len: u32);
            FUNCTION = function(ptr: u32, len: u32);
            LOG = log(level: i32, ptr: u32, len: u32);
            REQUEST_LEN = request_len();
            REQUEST_READ = request_read(offset: u32, ptr: u32, len: u32);
            RESPONSE_STATUS = response_status(status: i32);
            RESPONSE_HEADER = response_header(name: u32, name_len: u32, value: u32, value_len: u32);
        }
    };
}

pub(super) fn bind(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    each_call!(bind_each(linker));
    Ok(())
}

/// A call of this file that came over the carrier.
pub(super) fn carried(host: &mut Host, call: &str, arguments: Arguments) -> Option<HostResult> {
    each_call!(carry_each(host, call, arguments))
}

fn input_len(host: &mut Host) -> HostResult {
    length(host.wasi.console().input.len())
}

fn input_read(host: &mut Host, offset: u32, ptr: u32, len: u32) -> HostResult {
    let Host { wasi, memory, .. } = host;
    fill(memory, &wasi.console().input, offset, ptr, len)
}

fn output_append(host: &mut Host, ptr: u32, len: u32) -> HostResult {
    output(host, false, ptr, len)
}

fn output_set(host: &mut Host, ptr: u32, len: u32) -> HostResult {
    output(host, true, ptr, len)
}

fn tenant(host: &mut Host, ptr: u32, len: u32) -> HostResult {
    name(host, &host.function.tenant, ptr, len)
}

fn function(host: &mut Host, ptr: u32, len: u32) -> HostResult {
    name(host, &host.function.name, ptr, len)
}

fn request_len(host: &mut Host) -> HostResult {
    length(host.running.call.request.len())
}

fn request_read(host: &mut Host, offset: u32, ptr: u32, len: u32) -> HostResult {
    fill(&host.memory, &host.running.call.request, offset, ptr, len)
}

fn output(host: &mut Host, replace: bool, ptr: u32, len: u32) -> HostResult {
    let Host { wasi, memory, .. } = host;
    let streams = wasi.console();
    let kept = if replace { 0 } else { streams.output.len() };
    memory.range(ptr, len).map_err(|_| Status::Fault)?;
    if len as usize > streams.limit() - kept {
        return Err(Status::TooLarge);
    }
    streams.output.truncate(kept);
    append(memory, ptr, len, &mut streams.output)?;
    Ok(0)
}

fn error_set(host: &mut Host, ptr: u32, len: u32) -> HostResult {
    host.memory.range(ptr, len).map_err(|_| Status::Fault)?;
    host.running.error = host.bytes(ptr, len.min(MAX_MESSAGE_BYTES as u32))?;
    Ok(0)
}

fn log(host: &mut Host, level: i32, ptr: u32, len: u32) -> HostResult {
    let level = Level::from_i32(level).ok_or(Status::Invalid)?;
    host.memory.range(ptr, len).map_err(|_| Status::Fault)?;
    let text = host.bytes(ptr, len.min(MAX_LOG_LINE_BYTES as u32))?;
    host.exchange.desk().log(level as u8, &text);
    Ok(0)
}

fn identity_write(host: &mut Host, ptr: u32) -> HostResult {
    let call = &host.running.call;
    let mut bytes = [0; size_of::<Identity>()];
    bytes[..16].copy_from_slice(&call.id);
    bytes[16..20].copy_from_slice(&call.attempt.to_le_bytes());
    bytes[20..].copy_from_slice(&call.depth.to_le_bytes());
    host.memory.write(ptr, &bytes).map_err(|_| Status::Fault)?;
    Ok(0)
}

fn name(host: &Host, name: &str, ptr: u32, len: u32) -> HostResult {
    fill(&host.memory, name.as_bytes(), 0, ptr, len)?;
    length(name.len())
}

fn response_status(host: &mut Host, status: i32) -> HostResult {
    let status = u16::try_from(status).ok().filter(|s| (200..600).contains(s));
    host.running.response.status = status.ok_or(Status::Invalid)?;
    Ok(0)
}

fn response_header(
    host: &mut Host,
    name: u32,
    name_len: u32,
    value: u32,
    value_len: u32,
) -> HostResult {
    let name = host.text(name, name_len, MAX_RESPONSE_HEAD_BYTES)?;
    let value = host.text(value, value_len, MAX_RESPONSE_HEAD_BYTES)?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let visible = |b: u8| b == b'\t' || (b' '..=b'~').contains(&b);
    if name.is_empty() || !name.bytes().all(token) || !value.bytes().all(visible) {
        return Err(Status::Invalid);
    }
    let headers = &mut host.running.response.headers;
    let line = format!("{name}: {value}\r\n");
    if headers.len() + line.len() > MAX_RESPONSE_HEAD_BYTES {
        return Err(Status::TooLarge);
    }
    headers.extend_from_slice(line.as_bytes());
    Ok(0)
}
