//! A trap as its author reads it: what happened, then function, file and line of each frame.

use std::fmt::Write;
use std::sync::PoisonError;

use faaslet_rewrite::{Plan, Symbols};
use wasmtime::{FrameInfo, WasmBacktrace};

use super::function::Function;
use super::limits::MAX_MESSAGE_BYTES;

/// Frames that a message shows.
const MAX_FRAMES: usize = 64;

/// Renders a trap for the caller.
pub(crate) fn render(function: &Function, error: &wasmtime::Error) -> String {
    let mut text = error.root_cause().to_string();
    if let Some(trace) = error.downcast_ref::<WasmBacktrace>() {
        let symbols = function.symbols().map(|symbols| symbols.lock());
        let symbols = symbols.map(|symbols| symbols.unwrap_or_else(PoisonError::into_inner));
        // What the rewrite added is not the author's business.
        let ours = |frame: &&FrameInfo| frame.func_index() >= function.plan.original_functions;
        let frames = trace.frames().iter().filter(|frame| !ours(frame));
        for (number, frame) in frames.take(MAX_FRAMES).enumerate() {
            push_frame(&mut text, &function.plan, symbols.as_deref(), number, frame);
        }
    }
    let mut end = text.len().min(MAX_MESSAGE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

fn push_frame(
    text: &mut String,
    plan: &Plan,
    symbols: Option<&Symbols>,
    number: usize,
    frame: &FrameInfo,
) {
    let offset = frame.module_offset().and_then(|offset| plan.offsets.original(offset as u32));
    let lines = match (symbols, offset) {
        (Some(symbols), Some(offset)) => symbols.frames(offset),
        _ => Vec::new(),
    };
    if lines.is_empty() {
        let _ = write!(text, "\n  {number}: func[{}]", frame.func_index());
    }
    for line in lines {
        let _ = write!(text, "\n  {number}: {}", line.function);
        if let (Some(file), Some(at)) = (&line.file, line.line) {
            let _ = write!(text, "\n       at {file}:{at}");
        }
    }
}
