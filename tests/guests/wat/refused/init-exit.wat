;; Its initialisation exits with status 3.
(module $init_exit
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func $init (export "faaslet_init") (call $proc_exit (i32.const 3)))
  (func (export "faaslet_main") (result i32) i32.const 0))
