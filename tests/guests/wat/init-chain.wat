;; Calls another function while it initialises, which is not allowed there, and answers what the
;; host call returned, as a digit: "6" for -6 (Denied).
(module $init_chain
  (import "faaslet_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "noop")
  (func $init (export "faaslet_init")
    (i32.store8 (i32.const 0)
      (i32.sub (i32.const 48)
        (call $call (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0)))))
  (func (export "faaslet_main") (result i32)
    (call $output_set (i32.const 0) (i32.const 1))))
