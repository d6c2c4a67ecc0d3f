;; Does nothing and succeeds: what a call costs beside the guest's own work.
(module $noop
  (memory (export "memory") 17)
  (func $main (export "faaslet_main") (result i32)
    i32.const 0))
