//! What stands in the brackets of an attribute.

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, LitInt, Result};

/// Room in the heap unless said otherwise.
const DEFAULT_HEADROOM_KIB: u32 = 256;

/// More is surely a slip: the image would begin with a heap that hardly any limit allows.
const MAX_HEADROOM_KIB: u32 = 1024 * 1024;

/// Reads `headroom_kib = N`.
pub(crate) fn headroom_bytes(options: TokenStream) -> Result<usize> {
    let mut kib = DEFAULT_HEADROOM_KIB;
    let parser = syn::meta::parser(|option| {
        if !option.path.is_ident("headroom_kib") {
            return Err(option.error("expected `headroom_kib = 256` or nothing"));
        }
        let number: LitInt = option.value()?.parse()?;
        kib = number.base10_parse()?;
        if kib > MAX_HEADROOM_KIB {
            let message =
                format!("expected at most {MAX_HEADROOM_KIB} KiB of headroom, found {kib}");
            return Err(Error::new(number.span(), message));
        }
        Ok(())
    });
    parser.parse2(options)?;
    Ok(kib as usize * 1024)
}

/// Refuses options.
pub(crate) fn none(options: &TokenStream, attribute: &str) -> Result<()> {
    if options.is_empty() {
        return Ok(());
    }
    Err(Error::new(options.span(), format!("`#[faaslet::{attribute}]` takes no options")))
}
