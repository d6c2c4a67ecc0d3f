;; Exports none of the entries: faaslet_main, _start.
(module $no_entry
  (memory (export "memory") 1)
  (func (export "main") (result i32) i32.const 0))
