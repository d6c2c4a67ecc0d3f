;; Drops a data segment at initialisation that main then copies from, which must trap, fresh and in
;; every fork: that the segment is gone is part of the image.
(module $segments_dropped
  (memory (export "memory") 1)
  (data $late "late")
  (func (export "faaslet_init")
    (data.drop $late))
  (func (export "faaslet_main") (result i32)
    (memory.init $late (i32.const 0) (i32.const 0) (i32.const 4))
    i32.const 0))
