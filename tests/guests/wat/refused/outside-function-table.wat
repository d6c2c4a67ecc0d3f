;; Puts a function from outside into a table that its code changes: an image keeps functions by
;; their index in the module, and this one has its code in the host.
(module $outside_function_table
  (import "faaslet_v1" "input_len" (func $input_len (result i32)))
  (memory (export "memory") 1)
  (table $table 2 funcref)
  (elem declare func $input_len)
  (func $init (export "faaslet_init")
    (table.set $table (i32.const 1) (ref.func $input_len)))
  (func (export "faaslet_main") (result i32) (call_indirect (result i32) (i32.const 1))))
