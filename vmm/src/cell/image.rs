//! What of an instance lies outside its memory: mutable globals and changed table elements, read
//! into an image at the bake and set again in a fork.

use std::collections::{BTreeMap, HashMap};

use faaslet_rewrite::{Plan, reserved};
use faaslet_snapshot::image::{
    Global as GlobalImage, GlobalValue, Head, Image, TableElement, TableImage, layout,
};
use wasmtime::{Func, Global, Instance, Ref, Store, Table, Val};

use super::faaslet::MakeError;
use super::host::Host;

/// Key of an image's metadata: the guest's monotonic clock at the end of the bake, in nanoseconds
/// (u64). A fork's clock goes on from there, so that it never goes back.
const META_MONOTONIC: &str = "monotonic-ns";

/// The guest's monotonic clock at the end of the bake.
pub(crate) fn monotonic_ns(image: &Image) -> u64 {
    let bytes = image.head().meta().get(META_MONOTONIC);
    bytes.and_then(|b| b.as_slice().try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Key of an image's metadata: why an instance over it is not kept between calls, as text; empty
/// where it is kept. For people: who makes forks asks the plan.
const META_NOT_KEPT: &str = "not-kept";

/// Whether an instance over an image of this head is kept, or why not; nothing where it was not
/// written down.
pub(crate) fn kept(head: &Head) -> Option<Result<(), String>> {
    let why = head.meta().get(META_NOT_KEPT)?;
    Some(if why.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(why).into_owned()) })
}

/// Named values of an image.
pub(crate) fn meta(plan: &Plan, monotonic_ns: u64) -> BTreeMap<String, Vec<u8>> {
    let mut why = plan.keep.as_ref().err().map(ToString::to_string).unwrap_or_default();
    why.truncate(why.floor_char_boundary(layout::MAX_META_VALUE_BYTES));
    BTreeMap::from([
        (META_MONOTONIC.to_owned(), monotonic_ns.to_le_bytes().to_vec()),
        (META_NOT_KEPT.to_owned(), why.into_bytes()),
    ])
}

/// What an image cannot hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CaptureError {
    /// A global holds a reference to something outside the module.
    #[error(
        "expected plain values in globals at the end of the initialisation; global {0} holds a reference from outside; set it to null before the initialisation ends"
    )]
    Global(u32),
    /// A table element does.
    #[error(
        "expected functions of this module in its tables at the end of the initialisation; table {table} element {element} holds a reference from outside; set it to null before the initialisation ends"
    )]
    Element {
        /// The table.
        table: u32,
        /// The element.
        element: u64,
    },
}

/// Sets globals and tables of a new instance as the image says; returns what a reset puts back.
pub(crate) fn restore(
    store: &mut Store<Host>,
    instance: &Instance,
    image: &Image,
) -> Result<Vec<(Global, Val)>, MakeError> {
    restore_tables(store, instance, image)?;
    let mut baseline = Vec::with_capacity(image.head().globals().len());
    for saved in image.head().globals() {
        let name = reserved::global(saved.index);
        let global = instance.get_global(&mut *store, &name).ok_or_else(|| missing(&name))?;
        let value = value_of(store, instance, saved.value)?;
        global.set(&mut *store, value)?;
        baseline.push((global, value));
    }
    Ok(baseline)
}

fn restore_tables(
    store: &mut Store<Host>,
    instance: &Instance,
    image: &Image,
) -> Result<(), MakeError> {
    for saved in image.head().tables() {
        let name = reserved::table(saved.index);
        let table = instance.get_table(&mut *store, &name).ok_or_else(|| missing(&name))?;
        let more = u64::from(saved.size).saturating_sub(table.size(&*store));
        if more > 0 {
            let null = Ref::null(table.ty(&*store).element().heap_type());
            table.grow(&mut *store, more, null)?;
        }
        for element in &saved.elements {
            let func = match function(store, instance, element.function)? {
                None => Ref::null(table.ty(&*store).element().heap_type()),
                func => Ref::Func(func),
            };
            table.set(&mut *store, u64::from(element.index), func)?;
        }
    }
    Ok(())
}

fn function(
    store: &mut Store<Host>,
    instance: &Instance,
    index: Option<u32>,
) -> Result<Option<Func>, MakeError> {
    let Some(index) = index else { return Ok(None) };
    let name = reserved::function(index);
    instance.get_func(store, &name).map(Some).ok_or_else(|| missing(&name))
}

fn value_of(
    store: &mut Store<Host>,
    instance: &Instance,
    value: GlobalValue,
) -> Result<Val, MakeError> {
    Ok(match value {
        GlobalValue::I32(bits) => Val::I32(bits as i32),
        GlobalValue::I64(bits) => Val::I64(bits as i64),
        GlobalValue::F32(bits) => Val::F32(bits),
        GlobalValue::F64(bits) => Val::F64(bits),
        GlobalValue::V128(bits) => Val::V128(bits.into()),
        GlobalValue::FuncRef(index) => Val::FuncRef(function(store, instance, index)?),
    })
}

fn missing(name: &str) -> MakeError {
    MakeError::Foreign(format!("the module has no export {name}"))
}

/// Knows what the tables held when the instance was made, and the module's functions by address.
pub(crate) struct Capture {
    functions: HashMap<usize, u32>,
    tables: Vec<(u32, Table, Vec<Option<usize>>)>,
}

impl Capture {
    /// Looks at a new instance, before anything ran in it.
    pub(crate) fn begin(store: &mut Store<Host>, instance: &Instance, plan: &Plan) -> Self {
        // An imported function has its code outside, and no image vouches for what that is.
        let own = plan.functions.iter().filter(|index| **index >= plan.imports.len() as u32);
        let functions = own.filter_map(|index| {
            let func = instance.get_func(&mut *store, &reserved::function(*index))?;
            Some((address(store, &func), *index))
        });
        let functions = functions.collect();
        let mut tables = Vec::new();
        for index in plan.tables.iter().filter(|t| t.changed).map(|t| t.index) {
            let Some(table) = instance.get_table(&mut *store, &reserved::table(index)) else {
                continue;
            };
            let elements =
                (0..table.size(&*store)).map(|at| element(store, &table, at).ok().flatten());
            let elements = elements.collect();
            tables.push((index, table, elements));
        }
        Self { functions, tables }
    }

    /// The mutable globals of an instance that has been initialised.
    pub(crate) fn globals(
        &self,
        store: &mut Store<Host>,
        instance: &Instance,
        plan: &Plan,
    ) -> Result<Vec<GlobalImage>, CaptureError> {
        let mut globals = Vec::with_capacity(plan.globals.len());
        for index in plan.globals.iter().map(|global| global.index) {
            let Some(global) = instance.get_global(&mut *store, &reserved::global(index)) else {
                continue;
            };
            let value = match global.get(&mut *store) {
                Val::I32(value) => GlobalValue::I32(value as u32),
                Val::I64(value) => GlobalValue::I64(value as u64),
                Val::F32(bits) => GlobalValue::F32(bits),
                Val::F64(bits) => GlobalValue::F64(bits),
                Val::V128(value) => GlobalValue::V128(value.as_u128()),
                // What it is in a new instance, too.
                Val::ExternRef(None) => continue,
                Val::FuncRef(None) => GlobalValue::FuncRef(None),
                Val::FuncRef(Some(func)) => {
                    let known = self.functions.get(&address(store, &func)).copied();
                    GlobalValue::FuncRef(Some(known.ok_or(CaptureError::Global(index))?))
                }
                _ => return Err(CaptureError::Global(index)),
            };
            globals.push(GlobalImage { index, value });
        }
        Ok(globals)
    }

    /// The table elements that the initialisation changed.
    pub(crate) fn tables(&self, store: &mut Store<Host>) -> Result<Vec<TableImage>, CaptureError> {
        let mut images = Vec::new();
        for (index, table, before) in &self.tables {
            let size = table.size(&*store);
            let mut elements = Vec::new();
            for at in 0..size {
                let outside = CaptureError::Element { table: *index, element: at };
                let Ok(now) = element(store, table, at) else { return Err(outside) };
                if before.get(at as usize) == Some(&now)
                    || (now.is_none() && at as usize >= before.len())
                {
                    continue;
                }
                let function = match now {
                    None => None,
                    Some(address) => Some(*self.functions.get(&address).ok_or(outside)?),
                };
                elements.push(TableElement { index: at as u32, function });
            }
            if !elements.is_empty() || size as usize != before.len() {
                images.push(TableImage { index: *index, size: size as u32, elements });
            }
        }
        Ok(images)
    }
}

/// The function at a place of a table; an error when something else is there.
fn element(store: &mut Store<Host>, table: &Table, at: u64) -> Result<Option<usize>, ()> {
    match table.get(&mut *store, at) {
        Some(Ref::Func(func)) => Ok(func.map(|func| address(store, &func))),
        Some(Ref::Extern(None) | Ref::Any(None)) => Ok(None),
        _ => Err(()),
    }
}

fn address(store: &mut Store<Host>, func: &Func) -> usize {
    func.to_raw(store) as usize
}
