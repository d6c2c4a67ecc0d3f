//! The functions that a guest can import, with their types.

use faaslet_abi::{
    ABI_VERSION, IMPORT_MODULE, IMPORT_MODULE_PREFIX, carrier, import as host, state,
};
use wasmparser::{FuncType, ValType};

use crate::error::RewriteError;

/// Import module of WASI preview 1.
pub(crate) const WASI_MODULE: &str = "wasi_snapshot_preview1";
const MODULES: &str = "\"faaslet_v1\" and \"wasi_snapshot_preview1\"";
const _: () = assert!(ABI_VERSION == 1, "MODULES names the version");
/// Names longer than this are cut before they are compared.
const COMPARED_MAX_BYTES: usize = 64;

/// A name and its type: one letter for each parameter, a colon, one for each result; `i` is
/// i32, `l` is i64.
type Known = (&'static str, &'static str);

/// Host calls of [`IMPORT_MODULE`].
const HOST: &[Known] = &[
    (host::INPUT_LEN, ":i"),
    (host::INPUT_READ, "iii:i"),
    (host::OUTPUT_APPEND, "ii:i"),
    (host::OUTPUT_SET, "ii:i"),
    (host::ERROR_SET, "ii:i"),
    (host::CALL, "iiii:i"),
    (host::CALL_EXPORT, "iiii:i"),
    (host::CALL_TABLE, "iii:i"),
    (host::AWAIT, "il:i"),
    (host::RESULT_LEN, "i:i"),
    (host::RESULT_READ, "iiii:i"),
    (host::RELEASE, "i:i"),
    (host::IDENTITY, "i:i"),
    (host::TENANT, "ii:i"),
    (host::FUNCTION, "ii:i"),
    (host::LOG, "iii:i"),
    (host::REQUEST_LEN, ":i"),
    (host::REQUEST_READ, "iii:i"),
    (host::RESPONSE_STATUS, "i:i"),
    (host::RESPONSE_HEADER, "iiii:i"),
    (state::import::OPEN, "iii:i"),
    (state::import::CLOSE, "i:i"),
    (state::import::STAT, "ii:i"),
    (state::import::READ, "ilii:i"),
    (state::import::WRITE, "ilii:i"),
    (state::import::MERGE, "ilii:i"),
    (state::import::MAP, "iliii:i"),
    (state::import::UNMAP, "i:i"),
    (state::import::PULL, "ill:i"),
    (state::import::PUSH, "illii:i"),
    (state::import::RESIZE, "il:i"),
    (state::import::GROW, "il:i"),
    (state::import::APPEND, "iiii:i"),
    (state::import::LOCK, "iil:i"),
    (state::import::UNLOCK, "ii:i"),
    (state::import::DELETE, "ii:i"),
    (state::import::LIST, "iiiiii:i"),
    (state::import::OPEN_VERSION, "ii:i"),
    (state::import::VERSIONS, "iii:i"),
    (state::import::WAIT, "iil:i"),
    (state::import::NOTIFY, "ii:i"),
    (state::import::ERROR, "ii:i"),
];
const _: () = assert!(
    HOST.len() == host::ALL.len() + state::import::ALL.len(),
    "a host call has no type here"
);

/// Host calls through one import.
const CARRIER: &[Known] = &[(carrier::CALL, "iiii:i")];

/// WASI preview 1, all of it.
const WASI: &[Known] = &[
    ("args_get", "ii:i"),
    ("args_sizes_get", "ii:i"),
    ("clock_res_get", "ii:i"),
    ("clock_time_get", "ili:i"),
    ("environ_get", "ii:i"),
    ("environ_sizes_get", "ii:i"),
    ("fd_advise", "illi:i"),
    ("fd_allocate", "ill:i"),
    ("fd_close", "i:i"),
    ("fd_datasync", "i:i"),
    ("fd_fdstat_get", "ii:i"),
    ("fd_fdstat_set_flags", "ii:i"),
    ("fd_fdstat_set_rights", "ill:i"),
    ("fd_filestat_get", "ii:i"),
    ("fd_filestat_set_size", "il:i"),
    ("fd_filestat_set_times", "illi:i"),
    ("fd_pread", "iiili:i"),
    ("fd_prestat_dir_name", "iii:i"),
    ("fd_prestat_get", "ii:i"),
    ("fd_pwrite", "iiili:i"),
    ("fd_read", "iiii:i"),
    ("fd_readdir", "iiili:i"),
    ("fd_renumber", "ii:i"),
    ("fd_seek", "ilii:i"),
    ("fd_sync", "i:i"),
    ("fd_tell", "ii:i"),
    ("fd_write", "iiii:i"),
    ("path_create_directory", "iii:i"),
    ("path_filestat_get", "iiiii:i"),
    ("path_filestat_set_times", "iiiilli:i"),
    ("path_link", "iiiiiii:i"),
    ("path_open", "iiiiillii:i"),
    ("path_readlink", "iiiiii:i"),
    ("path_remove_directory", "iii:i"),
    ("path_rename", "iiiiii:i"),
    ("path_symlink", "iiiii:i"),
    ("path_unlink_file", "iii:i"),
    ("poll_oneoff", "iiii:i"),
    ("proc_exit", "i:"),
    ("proc_raise", "i:i"),
    ("random_get", "ii:i"),
    ("sched_yield", ":i"),
    ("sock_accept", "iii:i"),
    ("sock_recv", "iiiiii:i"),
    ("sock_send", "iiiii:i"),
    ("sock_shutdown", "ii:i"),
];
const _: () = assert!(WASI.len() == 46, "preview 1 has 46 functions");

/// Checks an imported function; returns the ABI version if it is a host call. No `ty` means
/// that the type index is out of range, which the validator refuses next.
pub(crate) fn check(
    module: &str,
    name: &str,
    ty: Option<&FuncType>,
) -> Result<Option<u32>, RewriteError> {
    let (known, abi) = match module {
        IMPORT_MODULE => (HOST, Some(ABI_VERSION)),
        WASI_MODULE => (WASI, None),
        carrier::MODULE => (CARRIER, Some(ABI_VERSION)),
        _ => return Err(unknown_module(module, name)),
    };
    let Some((_, expected)) = known.iter().find(|(known, _)| *known == name) else {
        let nearest = nearest(&[(module, known)], name);
        let (module, name) = (module.to_owned(), name.to_owned());
        return Err(RewriteError::UnknownImport { module, name, nearest });
    };
    match ty {
        Some(ty) if !matches(ty, expected) => Err(RewriteError::ImportSignature {
            module: module.to_owned(),
            name: name.to_owned(),
            expected: spelled(expected),
            found: signature(ty),
        }),
        _ => Ok(abi),
    }
}

fn unknown_module(module: &str, name: &str) -> RewriteError {
    let (module_name, name_owned) = (module.to_owned(), name.to_owned());
    if let Some(version) = module.strip_prefix(IMPORT_MODULE_PREFIX) {
        let newer = version.parse::<u32>().is_ok_and(|version| version > ABI_VERSION);
        return RewriteError::AbiVersion {
            module: module_name,
            found: version.to_owned(),
            supported: ABI_VERSION,
            advice: if newer {
                "update the host, or build with an older SDK"
            } else {
                "build it again with the SDK of this host"
            },
        };
    }
    let nearest = nearest(&[(IMPORT_MODULE, HOST), (WASI_MODULE, WASI)], name);
    RewriteError::UnknownModule {
        expected: MODULES,
        module: module_name,
        name: name_owned,
        nearest,
    }
}

/// The known import whose name differs least.
fn nearest(modules: &[(&str, &[Known])], name: &str) -> String {
    let all = modules.iter().flat_map(|(module, known)| known.iter().map(move |k| (module, k.0)));
    all.min_by_key(|(_, known)| distance(known, name))
        .map(|(module, known)| format!("{module}.{known}"))
        .unwrap_or_default()
}

/// Edits (insert, remove, replace a byte) from one name to the other.
fn distance(a: &str, b: &str) -> usize {
    let cut = |s: &str| s.as_bytes()[..s.len().min(COMPARED_MAX_BYTES)].to_vec();
    let (a, b) = (cut(a), cut(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replace = diagonal + usize::from(byte != other);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn letter(ty: ValType) -> char {
    match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'l',
        ValType::F32 => 'f',
        ValType::F64 => 'd',
        ValType::V128 => 'v',
        ValType::Ref(_) => 'r',
    }
}

fn matches(ty: &FuncType, expected: &str) -> bool {
    let letters = ty.params().iter().map(|t| letter(*t)).chain([':']);
    letters.chain(ty.results().iter().map(|t| letter(*t))).eq(expected.chars())
}

fn spelled(letters: &str) -> String {
    let word = |letter| if letter == 'l' { "i64" } else { "i32" };
    let list = |part: &str| part.chars().map(word).collect::<Vec<_>>().join(", ");
    let (params, results) = letters.split_once(':').unwrap_or((letters, ""));
    arrow(&list(params), &list(results), results.len())
}

/// A function type as messages show it: `(i32, i64) -> i32`.
pub(crate) fn signature(ty: &FuncType) -> String {
    let list =
        |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    arrow(&list(ty.params()), &list(ty.results()), ty.results().len())
}

fn arrow(params: &str, results: &str, count: usize) -> String {
    if count == 1 {
        format!("({params}) -> {results}")
    } else {
        format!("({params}) -> ({results})")
    }
}
