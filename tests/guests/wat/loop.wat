;; Never ends, and asks the host for nothing: only a deadline stops it.
(module $loop
  (memory (export "memory") 1)
  (func $main (export "faaslet_main") (result i32)
    (loop $again
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (br $again))
    unreachable))
