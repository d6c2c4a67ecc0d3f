;; Built for version 2 of the contract; the host knows version 1.
(module $abi_v2
  (import "faaslet_v2" "input_len" (func (result i32)))
  (memory (export "memory") 1)
  (func (export "faaslet_main") (result i32) i32.const 0))
