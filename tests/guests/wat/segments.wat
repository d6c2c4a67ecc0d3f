;; Data segments of both kinds. The start function copies a passive one and drops it; main copies
;; another, which must still be there in every fork, and answers "active start late".
(module $segments
  (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "active ")
  (data $start "start ")
  (data $late "late")
  (func $begin
    (memory.init $start (i32.const 1031) (i32.const 0) (i32.const 6))
    (data.drop $start))
  (start $begin)
  (func $main (export "faaslet_main") (result i32)
    (memory.init $late (i32.const 1037) (i32.const 0) (i32.const 4))
    (drop (call $output_set (i32.const 1024) (i32.const 17)))
    i32.const 0))
