//! Input, output, identity, log lines and the HTTP head of a call.

use faaslet_abi::{IMPORT_MODULE as FAASLET, Identity, Level, Status, import};
use wasmtime::{Caller, Linker};

use super::{Host, HostResult, append, code, fill, length};
use crate::cell::limits::{MAX_LOG_LINE_BYTES, MAX_MESSAGE_BYTES, MAX_RESPONSE_HEAD_BYTES};

pub(super) fn bind(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    input_and_output(linker)?;
    identity(linker)?;
    http(linker)?;
    linker.func_wrap(
        FAASLET,
        import::LOG,
        |host: Caller<'_, Host>, level: i32, ptr: u32, len: u32| {
            code(log(host.data(), level, ptr, len))
        },
    )?;
    Ok(())
}

fn input_and_output(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(FAASLET, import::INPUT_LEN, |mut host: Caller<'_, Host>| {
        code(length(host.data_mut().wasi.console().input.len()))
    })?;
    linker.func_wrap(
        FAASLET,
        import::INPUT_READ,
        |mut host: Caller<'_, Host>, offset: u32, ptr: u32, len: u32| {
            let Host { wasi, memory, .. } = host.data_mut();
            code(fill(memory, &wasi.console().input, offset, ptr, len))
        },
    )?;
    linker.func_wrap(
        FAASLET,
        import::OUTPUT_APPEND,
        |mut host: Caller<'_, Host>, ptr: u32, len: u32| {
            code(output(host.data_mut(), false, ptr, len))
        },
    )?;
    linker.func_wrap(
        FAASLET,
        import::OUTPUT_SET,
        |mut host: Caller<'_, Host>, ptr: u32, len: u32| {
            code(output(host.data_mut(), true, ptr, len))
        },
    )?;
    linker.func_wrap(
        FAASLET,
        import::ERROR_SET,
        |mut host: Caller<'_, Host>, ptr: u32, len: u32| code(error_set(host.data_mut(), ptr, len)),
    )?;
    Ok(())
}

fn identity(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(FAASLET, import::IDENTITY, |host: Caller<'_, Host>, ptr: u32| {
        code(identity_write(host.data(), ptr))
    })?;
    linker.func_wrap(FAASLET, import::TENANT, |host: Caller<'_, Host>, ptr: u32, len: u32| {
        let host = host.data();
        code(name(host, &host.function.tenant, ptr, len))
    })?;
    linker.func_wrap(FAASLET, import::FUNCTION, |host: Caller<'_, Host>, ptr: u32, len: u32| {
        let host = host.data();
        code(name(host, &host.function.name, ptr, len))
    })?;
    Ok(())
}

fn http(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(FAASLET, import::REQUEST_LEN, |host: Caller<'_, Host>| {
        code(length(host.data().running.call.request.len()))
    })?;
    linker.func_wrap(
        FAASLET,
        import::REQUEST_READ,
        |host: Caller<'_, Host>, offset: u32, ptr: u32, len: u32| {
            let host = host.data();
            code(fill(&host.memory, &host.running.call.request, offset, ptr, len))
        },
    )?;
    linker.func_wrap(
        FAASLET,
        import::RESPONSE_STATUS,
        |mut host: Caller<'_, Host>, status: i32| code(response_status(host.data_mut(), status)),
    )?;
    linker.func_wrap(
        FAASLET,
        import::RESPONSE_HEADER,
        |mut host: Caller<'_, Host>, name: u32, name_len: u32, value: u32, value_len: u32| {
            code(response_header(host.data_mut(), (name, name_len), (value, value_len)))
        },
    )?;
    Ok(())
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

fn log(host: &Host, level: i32, ptr: u32, len: u32) -> HostResult {
    let level = Level::from_i32(level).ok_or(Status::Invalid)?;
    host.memory.range(ptr, len).map_err(|_| Status::Fault)?;
    let text = host.bytes(ptr, len.min(MAX_LOG_LINE_BYTES as u32))?;
    host.exchange.desk().log(level as u8, &text);
    Ok(0)
}

fn identity_write(host: &Host, ptr: u32) -> HostResult {
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

fn response_header(host: &mut Host, name: (u32, u32), value: (u32, u32)) -> HostResult {
    let name = host.text(name.0, name.1, MAX_RESPONSE_HEAD_BYTES)?;
    let value = host.text(value.0, value.1, MAX_RESPONSE_HEAD_BYTES)?;
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
