//! A module of any size, to be rewritten.

use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, MemArg, MemorySection, MemoryType, Module,
    TypeSection, ValType,
};

/// Functions as a C compiler writes them, one in sixteen with a bulk operation.
pub(crate) fn synthetic(mebibytes: usize) -> Vec<u8> {
    let memarg = |offset| MemArg { offset, align: 2, memory_index: 0 };
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 16,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    while code.byte_len() < mebibytes << 20 {
        let mut function = Function::new([(4, ValType::I32), (1, ValType::F64)]);
        let mut body = function.instructions();
        for step in 0..100 {
            body.local_get(0).i32_load(memarg(step * 4)).local_tee(2).local_get(1).i32_add();
            body.local_set(3).local_get(3).i32_const(7).i32_and().if_(BlockType::Empty);
            body.local_get(0).local_get(3).i32_store(memarg(step * 8 + 1000)).else_();
            body.local_get(1).local_get(2).call(0).local_set(4).end();
        }
        if functions.len() % 16 == 0 {
            body.local_get(0).local_get(1).i32_const(64).memory_copy(0, 0);
        }
        body.local_get(3).end();
        functions.function(0);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&code);
    module.finish()
}
