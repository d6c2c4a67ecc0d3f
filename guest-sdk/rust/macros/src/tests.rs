//! What the attributes say to a function that cannot be an entry.
#![allow(clippy::unwrap_used)]

use proc_macro2::TokenStream;
use quote::quote;
use syn::ItemFn;

use crate::expand::{self, Hook};
use crate::options;

fn parse(function: TokenStream) -> ItemFn {
    syn::parse2(function).unwrap()
}

fn refusal(function: TokenStream) -> String {
    expand::main(&parse(function), 0).unwrap_err().to_string()
}

fn assert_refused(function: TokenStream, expected: &str) {
    let shown = function.to_string();
    let message = refusal(function);
    assert!(message.contains(expected), "{shown}: {message}");
}

#[test]
fn says_what_is_wrong_with_a_function() {
    assert_refused(
        quote!(
            async fn f() {}
        ),
        "not async",
    );
    assert_refused(
        quote!(
            fn f<T>(t: T) {}
        ),
        "not generic",
    );
    assert_refused(
        quote!(
            unsafe fn f() {}
        ),
        "is safe",
    );
    assert_refused(
        quote!(
            extern "C" fn f() {}
        ),
        "plain Rust",
    );
    assert_refused(
        quote!(
            fn f(a: u8, b: u8) {}
        ),
        "one input",
    );
    assert_refused(
        quote!(
            fn f(&self) {}
        ),
        "found a method",
    );
    assert_refused(
        quote!(
            fn f(text: &str) {}
        ),
        "take `String`",
    );
}

#[test]
fn bytes_are_not_taken_for_a_list() {
    for ty in [quote!(Vec<u8>), quote!(std::vec::Vec<u8>)] {
        assert_refused(quote!(fn f(bytes: #ty) {}), "take `faaslet::Raw`");
        assert_refused(quote!(fn f() -> #ty {}), "take `faaslet::Raw`");
        assert_refused(quote!(fn f() -> Result<#ty, Error> {}), "take `faaslet::Raw`");
    }
}

#[test]
fn takes_what_can_be_an_entry() {
    let functions = [
        quote!(
            fn f() {}
        ),
        quote!(
            pub fn f(numbers: Vec<u16>) -> Result<Vec<u32>, Error> {}
        ),
        quote!(
            fn f(bytes: faaslet::Raw) -> io::Result<()> {}
        ),
        quote!(
            fn f((a, b): (u8, u8)) -> Option<Vec<Vec<u8>>> {}
        ),
    ];
    for function in functions {
        expand::main(&parse(function), 0).unwrap();
    }
}

#[test]
fn a_hook_takes_nothing() {
    let error = expand::hook(
        Hook::AfterRestore,
        &parse(quote!(
            fn f(seed: u64) {}
        )),
    )
    .unwrap_err();
    assert!(error.to_string().contains("`#[faaslet::after_restore]` takes nothing"), "{error}");
}

#[test]
fn exports_under_the_names_of_the_contract() {
    let main = expand::main(
        &parse(quote!(
            fn f() {}
        )),
        7,
    )
    .unwrap()
    .to_string();
    assert!(main.contains(r#"export_name = "faaslet_main""#), "{main}");
    assert!(main.contains(r#"export_name = "_initialize""#), "{main}");
    assert!(main.contains("start (7usize)"), "{main}");
    let part = expand::function(&parse(quote!(
        fn part() {}
    )))
    .unwrap()
    .to_string();
    assert!(part.contains(r#"export_name = "part""#) && part.contains("fn part_entry"), "{part}");
    let init = expand::hook(
        Hook::Init,
        &parse(quote!(
            fn f() {}
        )),
    )
    .unwrap()
    .to_string();
    assert!(init.contains(r#"export_name = "faaslet_init""#), "{init}");
}

#[test]
fn reads_options() {
    assert_eq!(options::headroom_bytes(quote!()).unwrap(), 256 * 1024);
    assert_eq!(options::headroom_bytes(quote!(headroom_kib = 0)).unwrap(), 0);
    let refused = |tokens| options::headroom_bytes(tokens).unwrap_err().to_string();
    assert!(refused(quote!(headroom = 1)).contains("expected `headroom_kib = 256`"));
    assert!(refused(quote!(headroom_kib = 1048577)).contains("at most 1048576 KiB"));
    assert!(options::none(&quote!(a), "init").unwrap_err().to_string().contains("no options"));
}
