//! What a function must look like to be an entry, and what is wrong with it otherwise.

use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, PathArguments, Result, ReturnType, Safety, Signature, Type,
};

/// The type of a function's input, `None` when it takes nothing.
pub(crate) fn input(signature: &Signature) -> Result<Option<&Type>> {
    plain(signature)?;
    let mut inputs = signature.inputs.iter();
    let Some(first) = inputs.next() else { return Ok(None) };
    if let Some(second) = inputs.next() {
        return refuse(
            second,
            "a function takes one input: put several values in a struct or a tuple",
        );
    }
    let FnArg::Typed(input) = first else {
        return refuse(first, "expected a function, found a method: `self` has no value at a call");
    };
    if matches!(*input.ty, Type::Reference(_)) {
        return refuse(
            &input.ty,
            "an input owns what it holds: take `String` for text in JSON, `faaslet::Text` for text \
             as it is, `faaslet::Raw` for bytes",
        );
    }
    bytes_are_raw(&input.ty)?;
    Ok(Some(&input.ty))
}

/// Checks what a function returns.
pub(crate) fn output(signature: &Signature) -> Result<()> {
    let ReturnType::Type(_, returned) = &signature.output else { return Ok(()) };
    bytes_are_raw(returned)?;
    match first_argument(returned, "Result") {
        Some(value) => bytes_are_raw(value),
        None => Ok(()),
    }
}

/// Checks a hook: nothing in, nothing or a `Result` out.
pub(crate) fn hook(signature: &Signature, attribute: &str) -> Result<()> {
    plain(signature)?;
    match signature.inputs.first() {
        None => Ok(()),
        Some(input) => refuse(
            input,
            &format!(
                "a function with `#[faaslet::{attribute}]` takes nothing: it runs outside of calls"
            ),
        ),
    }
}

/// What no entry can be.
fn plain(signature: &Signature) -> Result<()> {
    if let Some(asyncness) = &signature.asyncness {
        return refuse(
            asyncness,
            "a function is not async: chained calls run beside each other and are waited for \
             without a runtime, see `faaslet::chain`",
        );
    }
    if let Some(parameter) = signature.generics.params.first() {
        return refuse(parameter, "a function is not generic: the host calls it with bytes alone");
    }
    if let Safety::Unsafe(safety) = &signature.safety {
        return refuse(safety, "a function is safe: the host calls it at any time");
    }
    if let Some(abi) = &signature.abi {
        return refuse(
            abi,
            "a function is plain Rust: the attribute makes the exported entry beside it",
        );
    }
    Ok(())
}

/// A `Vec<u8>` would be a list of numbers in JSON, which nobody means.
fn bytes_are_raw(ty: &Type) -> Result<()> {
    let byte = first_argument(ty, "Vec")
        .is_some_and(|item| matches!(item, Type::Path(path) if path.path.is_ident("u8")));
    if byte {
        return refuse(
            ty,
            "a `Vec<u8>` would be a list of numbers in JSON: take `faaslet::Raw` for bytes",
        );
    }
    Ok(())
}

/// The `T` of `name<T, ...>`.
fn first_argument<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}

fn refuse<T>(found: &impl Spanned, message: &str) -> Result<T> {
    Err(Error::new(found.span(), message))
}
