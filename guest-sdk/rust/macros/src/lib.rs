//! The attributes of the crate `faaslet`: each leaves its function as it is and adds beside it the
//! entry that the host calls.
//!
//! What they check of a function is in `signature`, what they add in `expand`.

mod expand;
mod options;
mod signature;

use proc_macro::TokenStream;
use quote::quote;
use syn::ItemFn;

use expand::Hook;

/// Makes a function the entry of its module: it runs once for each call.
///
/// It takes one input or none, and returns a value or a `Result`; see the crate's documentation.
/// Beside it stands the entry itself, `faaslet_main`, which tests call.
///
/// `#[faaslet::main(headroom_kib = 1024)]` sets how much room is left in the heap of the image, so
/// that calls need not grow their memory; 256 KiB unless said.
#[proc_macro_attribute]
pub fn main(options: TokenStream, function: TokenStream) -> TokenStream {
    expanded(function, |function| {
        let headroom_bytes = options::headroom_bytes(options.into())?;
        expand::main(function, headroom_bytes)
    })
}

/// Exports one more entry, which this module's functions call by its name with
/// `faaslet::chain_export`.
///
/// Beside a function `part` stands its entry, `part_entry`, which tests name.
#[proc_macro_attribute]
pub fn function(options: TokenStream, function: TokenStream) -> TokenStream {
    expanded(function, |function| {
        options::none(&options.into(), "function")?;
        expand::function(function)
    })
}

/// Runs a function once, when the image is made: what it leaves in memory is there at the start of
/// every call.
///
/// It takes nothing and returns nothing or a `Result`; an error refuses the deployment. It cannot
/// call other functions, and sees a clock that stands still.
#[proc_macro_attribute]
pub fn init(options: TokenStream, function: TokenStream) -> TokenStream {
    hook(Hook::Init, options, function)
}

/// Runs a function once, after `init` and as a call that is not anybody's: touch what calls need.
#[proc_macro_attribute]
pub fn warm(options: TokenStream, function: TokenStream) -> TokenStream {
    hook(Hook::Warm, options, function)
}

/// Runs a function first in every call: seed a generator of random numbers here, not in `init`.
#[proc_macro_attribute]
pub fn after_restore(options: TokenStream, function: TokenStream) -> TokenStream {
    hook(Hook::AfterRestore, options, function)
}

fn hook(hook: Hook, options: TokenStream, function: TokenStream) -> TokenStream {
    expanded(function, |function| {
        options::none(&options.into(), hook.attribute())?;
        expand::hook(hook, function)
    })
}

/// The function with what `expand` adds, or as it is with the error.
fn expanded(
    function: TokenStream,
    expand: impl FnOnce(&ItemFn) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let unchanged = proc_macro2::TokenStream::from(function.clone());
    let added = syn::parse(function)
        .map_err(|error| {
            syn::Error::new(error.span(), format!("expected this attribute on a function: {error}"))
        })
        .and_then(|function| expand(&function))
        .unwrap_or_else(|error| error.to_compile_error());
    quote!(#unchanged #added).into()
}

#[cfg(test)]
mod tests;
