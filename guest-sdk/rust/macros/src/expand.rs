//! The entries that the attributes add.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, ItemFn, Result, ReturnType};

use crate::signature;

/// Functions that run outside of calls.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    Init,
    Warm,
    AfterRestore,
}

impl Hook {
    /// The attribute, without the crate.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Warm => "warm",
            Self::AfterRestore => "after_restore",
        }
    }
}

/// `faaslet_main`, and `_initialize` before it.
pub(crate) fn main(function: &ItemFn, headroom_bytes: usize) -> Result<TokenStream> {
    let entry = entry(function, &here("faaslet_main"), "faaslet_main")?;
    Ok(quote! {
        #entry

        #[cfg(target_family = "wasm")]
        const _: () = {
            #[unsafe(export_name = "_initialize")]
            extern "C-unwind" fn initialize() {
                ::faaslet::entry::start(#headroom_bytes);
            }
        };
    })
}

/// `NAME_entry`, exported as `NAME`.
pub(crate) fn function(function: &ItemFn) -> Result<TokenStream> {
    let name = &function.sig.ident;
    entry(function, &format_ident!("{name}_entry"), &name.to_string())
}

/// `faaslet_init` and its like.
pub(crate) fn hook(hook: Hook, function: &ItemFn) -> Result<TokenStream> {
    signature::hook(&function.sig, hook.attribute())?;
    let name = &function.sig.ident;
    let export = format!("faaslet_{}", hook.attribute());
    let entry = here(&export);
    let finish = quote_spanned! { output_span(function)=>
        (&returned).kind().end(#export, returned);
    };
    Ok(quote! {
        #[doc(hidden)]
        #[cfg_attr(target_family = "wasm", unsafe(export_name = #export))]
        #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
        extern "C-unwind" fn #entry() {
            #[allow(unused_imports)]
            use ::faaslet::entry::{KindOfResult as _, KindOfValue as _};
            #[allow(clippy::let_unit_value)]
            let returned = #name();
            #finish
        }
    })
}

/// An entry that decodes the input, calls the function, and answers what it returns.
fn entry(function: &ItemFn, entry: &Ident, export: &str) -> Result<TokenStream> {
    let input = match signature::input(&function.sig)? {
        None => quote!(),
        Some(ty) => quote_spanned! { ty.span()=>
            <#ty as ::faaslet::entry::Input>::take()?
        },
    };
    signature::output(&function.sig)?;
    let name = &function.sig.ident;
    let finish = quote_spanned! { output_span(function)=>
        (&returned).kind().finish(returned)
    };
    Ok(quote! {
        #[doc(hidden)]
        #[cfg_attr(target_family = "wasm", unsafe(export_name = #export))]
        #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
        pub(crate) extern "C-unwind" fn #entry() -> i32 {
            #[allow(unused_imports)]
            use ::faaslet::entry::{KindOfResult as _, KindOfValue as _};
            ::faaslet::entry::answer(|| {
                #[allow(clippy::let_unit_value)]
                let returned = #name(#input);
                #finish
            })
        }
    })
}

/// Where to point when the output is not one.
fn output_span(function: &ItemFn) -> Span {
    match &function.sig.output {
        ReturnType::Default => function.sig.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    }
}

/// A name that the author's code can use.
fn here(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}
