;; Drops a data segment at initialisation that main copies from: a fork that still had the segment
;; would not do as a fresh run does, which traps. An image cannot hold this.
(module $segments_dropped
  (memory (export "memory") 1)
  (data $late "late")
  (func (export "faaslet_init")
    (data.drop $late))
  (func (export "faaslet_main") (result i32)
    (memory.init $late (i32.const 0) (i32.const 0) (i32.const 4))
    i32.const 0))
