//! The small example: greets whoever the input names.
//!
//! It talks to the host through its imports as they are, to show that there is nothing more to it;
//! they and their meaning are listed in `guest-sdk/abi`.

/// Longest name that is greeted.
const MAX_NAME_BYTES: usize = 256;

/// The greeting for one input, or why there is none.
pub fn greet(input: &[u8]) -> Result<String, String> {
    if input.len() > MAX_NAME_BYTES {
        return Err(format!("expected a name of at most {MAX_NAME_BYTES} bytes, found {}", input.len()));
    }
    let name = std::str::from_utf8(input).map_err(|error| format!("expected a name in UTF-8: {error}"))?;
    let name = name.trim();
    Ok(format!("Hello, {}!\n", if name.is_empty() { "stranger" } else { name }))
}

/// Runs one call.
#[cfg(target_family = "wasm")]
#[unsafe(no_mangle)]
pub extern "C" fn faaslet_main() -> i32 {
    match greet(&host::input()) {
        Ok(greeting) => host::answer(&greeting),
        Err(message) => host::fail(&message),
    }
}

/// The host calls that this function needs.
#[cfg(target_family = "wasm")]
mod host {
    #[link(wasm_import_module = "faaslet_v1")]
    unsafe extern "C" {
        fn input_len() -> i32;
        fn input_read(offset: u32, ptr: *mut u8, len: usize) -> i32;
        fn output_set(ptr: *const u8, len: usize) -> i32;
        fn error_set(ptr: *const u8, len: usize) -> i32;
    }

    pub(crate) fn input() -> Vec<u8> {
        // SAFETY: it takes nothing and writes nothing.
        let length = unsafe { input_len() }.cast_unsigned() as usize;
        let mut bytes = vec![0; length];
        // SAFETY: the pointer and the length are those of `bytes`.
        let copied = unsafe { input_read(0, bytes.as_mut_ptr(), length) };
        bytes.truncate(usize::try_from(copied).unwrap_or(0));
        bytes
    }

    pub(crate) fn answer(text: &str) -> i32 {
        // SAFETY: the pointer and the length are those of `text`.
        unsafe { output_set(text.as_ptr(), text.len()) }
    }

    pub(crate) fn fail(text: &str) -> i32 {
        // SAFETY: the pointer and the length are those of `text`.
        unsafe { error_set(text.as_ptr(), text.len()) };
        1
    }
}

#[cfg(test)]
mod tests {
    use super::greet;

    #[test]
    fn greets_by_name() {
        assert_eq!(greet(b"Ada\n").as_deref(), Ok("Hello, Ada!\n"));
        assert_eq!(greet(b"").as_deref(), Ok("Hello, stranger!\n"));
    }

    #[test]
    fn refuses_what_is_no_name() {
        assert!(greet(&[b'a'; 257]).unwrap_err().contains("found 257"));
        assert!(greet(&[0xff]).unwrap_err().contains("UTF-8"));
    }
}
